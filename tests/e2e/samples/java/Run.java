import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javax.tools.ToolProvider;

/**
 * Compiles and runs Java samples and prints the output of each as a line of Base64.
 *
 * Arguments: an empty folder to work in, the certificate to trust, the folder of the Unirest to
 * compile against, the samples.
 */
public class Run {
  public static void main(String[] arguments) throws Exception {
    Path folder = Path.of(arguments[0]);
    trust(Path.of(arguments[1]), folder.resolve("trusted.p12"));
    Path unirest = compile(folder.resolve("unirest"), "", sources(Path.of(arguments[2])));
    PrintStream out = System.out;
    for (String sample : Arrays.asList(arguments).subList(3, arguments.length)) {
      Path classes = compile(
          Path.of(sample).resolveSibling("classes"), unirest.toString(), List.of(sample));
      ByteArrayOutputStream printed = new ByteArrayOutputStream();
      System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
      URL[] places = {classes.toUri().toURL(), unirest.toUri().toURL()};
      try (URLClassLoader loader = new URLClassLoader(places)) {
        loader.loadClass("Main").getMethod("main", String[].class).invoke(null, (Object) new String[0]);
      }
      out.println(java.util.Base64.getEncoder().encodeToString(printed.toByteArray()));
    }
    System.exit(0); // threads of Unirest would keep it alive
  }

  private static void trust(Path certificate, Path place) throws Exception {
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    try (var file = Files.newInputStream(certificate)) {
      store.setCertificateEntry(
          "test", CertificateFactory.getInstance("X.509").generateCertificate(file));
    }
    try (OutputStream file = Files.newOutputStream(place)) {
      store.store(file, "public".toCharArray());
    }
    System.setProperty("javax.net.ssl.trustStore", place.toString());
    System.setProperty("javax.net.ssl.trustStorePassword", "public");
  }

  private static List<String> sources(Path folder) throws Exception {
    try (var found = Files.walk(folder)) {
      return found.map(Path::toString).filter(name -> name.endsWith(".java")).sorted().toList();
    }
  }

  private static Path compile(Path to, String more, List<String> sources) {
    String classes = System.getProperty("java.class.path");
    List<String> options = new ArrayList<>(
        List.of("-proc:none", "-encoding", "UTF-8", "-d", to.toString(), "-cp"));
    options.add(more.isEmpty() ? classes : more);
    options.addAll(sources);
    int failed = ToolProvider.getSystemJavaCompiler()
        .run(null, System.err, System.err, options.toArray(String[]::new));
    if (failed != 0) {
      throw new IllegalArgumentException("javac rejects " + sources);
    }
    return to;
  }
}
