package io.procos.engine;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Where the engine keeps its state: the JDBC address without credentials, and a name for it that may be printed.
 *
 * <p>Made from PROCOS_ENGINE_DB_URL by {@link EngineSettings}; PostgreSQL's own spelling goes through {@link
 * PostgresUrl}.
 */
record Database(String jdbcUrl, String printable, String user, String password) {

  private static final String H2 = "jdbc:h2:";
  private static final String POSTGRES = "jdbc:postgresql:";

  /** H2 tells its client "done" half a second before the disk knows, unless it is asked not to. */
  private static final String DURABLE = ";WRITE_DELAY=0";

  /** Gives the H2 database in a file of the folder. */
  static Database inFolder(String folder) {
    Path file = Path.of(folder).toAbsolutePath().normalize().resolve("engine");
    if (file.toString().contains(";")) {
      throw new StartRefusedException("PROCOS_ENGINE_DATA: a folder with a semicolon in its name cannot hold the database");
    }
    return new Database(
        H2 + "file:" + file + ";TRACE_LEVEL_FILE=0;DB_CLOSE_ON_EXIT=FALSE" + DURABLE, "h2 file " + file, "sa", "");
  }

  /** Gives the database of an address, or refuses the address without repeating its credentials. */
  static Database at(String url) {
    if (PostgresUrl.matches(url)) {
      return PostgresUrl.parse(url);
    }
    if (url.startsWith(H2)) {
      return h2(url);
    }
    if (url.startsWith(POSTGRES)) {
      return postgres(url);
    }
    throw new StartRefusedException(
        "PROCOS_ENGINE_DB_URL: expected postgresql://…, postgres://…, jdbc:postgresql:… or jdbc:h2:…");
  }

  /** Gives the same database with the credentials that are set apart from the address, if any are. */
  Database withCredentials(String otherUser, String otherPassword) {
    return new Database(
        jdbcUrl, printable, otherUser.isEmpty() ? user : otherUser, otherPassword.isEmpty() ? password : otherPassword);
  }

  private static Database h2(String url) {
    List<String> kept = new ArrayList<>();
    String user = "sa";
    String password = "";
    for (String part : url.split(";")) {
      String upper = part.toUpperCase(Locale.ROOT);
      if (upper.startsWith("USER=")) {
        user = part.substring("USER=".length());
      } else if (upper.startsWith("PASSWORD=")) {
        password = part.substring("PASSWORD=".length());
      } else {
        kept.add(part);
      }
    }
    String bare = String.join(";", kept);
    boolean saysWhen = bare.toUpperCase(Locale.ROOT).contains(";WRITE_DELAY=");
    return new Database(saysWhen ? bare : bare + DURABLE, "h2 " + kept.get(0).substring(H2.length()), user, password);
  }

  private static Database postgres(String url) {
    int mark = url.indexOf('?');
    PostgresUrl.Parameters parameters = PostgresUrl.Parameters.of(mark < 0 ? null : url.substring(mark + 1));
    String address = mark < 0 ? url : url.substring(0, mark);
    return new Database(
        address + parameters.query(), address.substring("jdbc:".length()), parameters.user(), parameters.password());
  }
}
