package io.procos.engine;

import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Translates the PostgreSQL addresses that platforms hand out (postgres://user:password@host/name) to JDBC.
 *
 * <p>User and password leave the address here, so that no log line about it can show them.
 */
final class PostgresUrl {

  private static final Pattern SHAPE =
      Pattern.compile("postgres(?:ql)?://([^/?#]*)(?:/([^?#]*))?(?:\\?([^#]*))?(?:#.*)?", Pattern.CASE_INSENSITIVE);
  private static final Pattern HOST = Pattern.compile("(?:[A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(?::\\d{1,5})?");

  /** Parameters that libpq and the JDBC driver spell differently; all others go through as they are. */
  private static final Map<String, String> JDBC_NAMES =
      Map.of(
          "application_name", "ApplicationName",
          "channel_binding", "channelBinding",
          "connect_timeout", "connectTimeout",
          "tcp_keepalives", "tcpKeepAlive");

  /** Keeps the driver from quoting the values of a failed statement, which are the contents of variables. */
  private static final String NO_CONTENTS_IN_ERRORS = "logServerErrorDetail=false";

  private PostgresUrl() {}

  /** Says whether the address is one of libpq's spelling. */
  static boolean matches(String url) {
    return url.regionMatches(true, 0, "postgres://", 0, 11) || url.regionMatches(true, 0, "postgresql://", 0, 13);
  }

  /** Translates a libpq address to a database, or refuses it without repeating any of it. */
  static Database parse(String url) {
    Matcher parts = SHAPE.matcher(url);
    if (!parts.matches()) {
      throw refused("expected postgresql://user:password@host:port/name");
    }
    String authority = parts.group(1);
    int at = authority.lastIndexOf('@');
    String[] credentials = at < 0 ? new String[0] : authority.substring(0, at).split(":", 2);
    String hosts = hosts(authority.substring(at + 1));
    String name = parts.group(2) == null ? "" : decoded(parts.group(2));
    if (name.isEmpty()) {
      throw refused("the database name is missing; expected postgresql://user:password@host:port/name");
    }
    Parameters parameters = Parameters.of(parts.group(3));
    String address = hosts + "/" + encoded(name);
    return new Database(
        "jdbc:postgresql://" + address + parameters.query(),
        "postgresql://" + address,
        credentials.length > 0 ? decoded(credentials[0]) : parameters.user(),
        credentials.length > 1 ? decoded(credentials[1]) : parameters.password());
  }

  private static String hosts(String text) {
    if (text.isEmpty()) {
      return "localhost";
    }
    for (String host : text.split(",", -1)) {
      if (!HOST.matcher(host).matches()) {
        throw refused("host or port is malformed; write special characters of a password as %xx");
      }
    }
    return text;
  }

  static String decoded(String text) {
    try {
      // In an address a plus is a plus; the decoder is one for forms, where it is a space.
      return URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
    } catch (IllegalArgumentException malformed) {
      throw refused("a % must be followed by two hexadecimal digits; write a % itself as %25");
    }
  }

  private static String encoded(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
  }

  private static StartRefusedException refused(String why) {
    return new StartRefusedException("PROCOS_ENGINE_DB_URL: " + why);
  }

  /** The part after the question mark: the credentials taken out, and what the engine insists on put in. */
  record Parameters(String query, String user, String password) {

    static Parameters of(String text) {
      List<String> kept = new ArrayList<>();
      String user = "";
      String password = "";
      for (String pair : text == null ? new String[0] : text.split("&")) {
        String[] sides = pair.split("=", 2);
        String value = sides.length > 1 ? decoded(sides[1]) : "";
        switch (sides[0]) {
          case "" -> {}
          case "user" -> user = value;
          case "password" -> password = value;
          case "host", "hostaddr", "port", "dbname" ->
              throw refused("the parameter " + sides[0] + " is not understood; name host, port and database before the ?");
          case "logServerErrorDetail" -> {}
          default -> kept.add(JDBC_NAMES.getOrDefault(sides[0], sides[0]) + "=" + encoded(value));
        }
      }
      kept.add(NO_CONTENTS_IN_ERRORS);
      return new Parameters("?" + String.join("&", kept), user, password);
    }
  }
}
