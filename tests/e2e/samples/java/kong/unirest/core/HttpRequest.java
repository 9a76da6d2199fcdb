package kong.unirest.core;

/** The methods of Unirest 4 that samples call. */
public interface HttpRequest<R extends HttpRequest> {
  R header(String name, String value);

  HttpResponse<String> asString();
}
