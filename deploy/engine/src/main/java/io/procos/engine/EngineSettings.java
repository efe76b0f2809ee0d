package io.procos.engine;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.regex.Pattern;
import org.springframework.core.env.PropertyResolver;

/**
 * The settings of one installation, read from PROCOS_ENGINE_* and checked before anything is touched.
 *
 * <p>Spring's environment answers for PROCOS_ENGINE_DB_URL under the name procos.engine.db.url.
 */
record EngineSettings(
    int port, String address, Database database, String user, String password, boolean bulkVerdicts) {

  private static final Pattern USER_NAME = Pattern.compile("[A-Za-z0-9._@-]{1,64}");
  private static final String NO_DATABASE = "";

  /** Reads and checks the settings, or refuses with the name of the one that is wrong. */
  static EngineSettings from(PropertyResolver environment) {
    EngineSettings settings =
        new EngineSettings(
            port(text(environment, "port", "8080")),
            text(environment, "address", "127.0.0.1"),
            database(environment),
            text(environment, "user", ""),
            text(environment, "password", ""),
            flag("PROCOS_ENGINE_BULK_VERDICTS", text(environment, "bulk.verdicts", "true")));
    settings.checkUser();
    return settings;
  }

  /** Says whether callers must give a user and a password. */
  boolean needsAuthentication() {
    return !user.isEmpty();
  }

  /** Refuses an address that other hosts reach while anybody could call. */
  void checkReach(String boundAddress) {
    if (!needsAuthentication() && !isLoopback(boundAddress)) {
      throw new StartRefusedException(
          "PROCOS_ENGINE_ADDRESS=" + boundAddress + " can be reached from other hosts and no user is set: set"
              + " PROCOS_ENGINE_USER and PROCOS_ENGINE_PASSWORD, or PROCOS_ENGINE_ADDRESS=127.0.0.1");
    }
  }

  private void checkUser() {
    if (user.isEmpty() != password.isEmpty()) {
      throw new StartRefusedException(
          (user.isEmpty() ? "PROCOS_ENGINE_PASSWORD is set and PROCOS_ENGINE_USER" : "PROCOS_ENGINE_USER is set and PROCOS_ENGINE_PASSWORD")
              + " is not: set both, or neither");
    }
    if (!user.isEmpty() && !USER_NAME.matcher(user).matches()) {
      throw new StartRefusedException(
          "PROCOS_ENGINE_USER: expected 1 to 64 letters, digits or the characters . _ @ -");
    }
  }

  private static Database database(PropertyResolver environment) {
    String url = text(environment, "db.url", NO_DATABASE);
    Database database =
        url.isEmpty() ? Database.inFolder(text(environment, "data", "./data")) : Database.at(url);
    return database.withCredentials(text(environment, "db.user", ""), text(environment, "db.password", ""));
  }

  private static int port(String text) {
    if (!text.matches("\\d{1,5}") || Integer.parseInt(text) > 65535) {
      throw new StartRefusedException("PROCOS_ENGINE_PORT=" + text + ": expected a number from 0 (any free port) to 65535");
    }
    return Integer.parseInt(text);
  }

  private static boolean flag(String name, String text) {
    if (!text.equals("true") && !text.equals("false")) {
      throw new StartRefusedException(name + "=" + text + ": expected true or false");
    }
    return text.equals("true");
  }

  private static boolean isLoopback(String address) {
    try {
      return InetAddress.getByName(address).isLoopbackAddress();
    } catch (UnknownHostException unknown) {
      throw new StartRefusedException(
          "PROCOS_ENGINE_ADDRESS=" + address + " is not an address of this host: set an IP address or a name that resolves");
    }
  }

  private static String text(PropertyResolver environment, String name, String otherwise) {
    String value = environment.getProperty("procos.engine." + name, "");
    return value.isBlank() ? otherwise : value;
  }
}
