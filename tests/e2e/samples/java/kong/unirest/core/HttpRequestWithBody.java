package kong.unirest.core;

public interface HttpRequestWithBody extends HttpRequest<HttpRequestWithBody> {
  RequestBodyEntity body(String body);
}
