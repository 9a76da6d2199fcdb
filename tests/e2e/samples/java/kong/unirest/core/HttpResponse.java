package kong.unirest.core;

public interface HttpResponse<T> {
  T getBody();

  int getStatus();

  /** Unirest 1.4 has no such method; this is what the fourth version does. */
  default boolean isSuccess() {
    return getStatus() >= 200 && getStatus() < 300;
  }
}
