package kong.unirest.core;

/** Its calls that samples make, as Unirest 4 has them. */
public interface HttpRequest<R extends HttpRequest> {
  R header(String name, String value);

  HttpResponse<String> asString();
}
