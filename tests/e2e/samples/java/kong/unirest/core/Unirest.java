package kong.unirest.core;

import java.lang.reflect.Proxy;

/**
 * The part of Unirest 4 that samples use, on Unirest 1.4.
 *
 * Of Unirest, Debian has only the first version; the fourth has the same calls in another package.
 * So samples are compiled against the names and types of the fourth, and the first sends them. That
 * proves what they say, not how the fourth sends it.
 */
public class Unirest {
  public static GetRequest get(String url) {
    return over(GetRequest.class, com.mashape.unirest.http.Unirest.get(url));
  }

  public static HttpRequestWithBody post(String url) {
    return over(HttpRequestWithBody.class, com.mashape.unirest.http.Unirest.post(url));
  }

  public static HttpRequestWithBody put(String url) {
    return over(HttpRequestWithBody.class, com.mashape.unirest.http.Unirest.put(url));
  }

  public static HttpRequestWithBody patch(String url) {
    return over(HttpRequestWithBody.class, com.mashape.unirest.http.Unirest.patch(url));
  }

  public static HttpRequestWithBody delete(String url) {
    return over(HttpRequestWithBody.class, com.mashape.unirest.http.Unirest.delete(url));
  }

  /** An object of a type of the fourth that makes the same calls on one of the first. */
  private static <T> T over(Class<T> type, Object old) {
    return type.cast(Proxy.newProxyInstance(
        type.getClassLoader(),
        new Class<?>[] {type},
        (self, method, arguments) -> {
          Object result = old.getClass()
              .getMethod(method.getName(), method.getParameterTypes())
              .invoke(old, arguments);
          if (result == old) {
            return self;
          }
          Class<?> returned = method.getReturnType();
          return returned.isInterface() ? over(returned, result) : result;
        }));
  }
}
