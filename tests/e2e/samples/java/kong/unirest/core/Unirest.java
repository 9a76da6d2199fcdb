package kong.unirest.core;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;

/**
 * The part of Unirest 4 that samples use, on Unirest 1.4.
 *
 * Debian has only the first version of Unirest; the fourth has the same methods in another package.
 * Samples are compiled against the names and types of the fourth, and the first sends their requests.
 * This proves what they send, not how the fourth version sends it.
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

  /** An object of a type of the fourth version that forwards its calls to one of the first. */
  private static <T> T over(Class<T> type, Object old) {
    return type.cast(Proxy.newProxyInstance(
        type.getClassLoader(),
        new Class<?>[] {type},
        (self, method, arguments) -> {
          if (method.isDefault()) {
            return InvocationHandler.invokeDefault(self, method, arguments);
          }
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
