package io.procos.engine;

import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import javax.sql.DataSource;
import org.postgresql.ds.PGSimpleDataSource;

/** A throwaway PostgreSQL on a port of the loopback interface; as root it runs as the user postgres, as it must. */
final class PostgresCluster implements AutoCloseable {

  private static final String USER = "postgres";
  private static final long LIMIT_S = 60;

  private final Path programs;
  private final Path home;
  private final int port;

  private PostgresCluster(Path programs, Path home, int port) {
    this.programs = programs;
    this.home = home;
    this.port = port;
  }

  /** Finds the programs of the newest release that Debian's packages have put here, or those on the path. */
  static Optional<Path> programs() {
    return Stream.concat(released(), Stream.of(System.getenv("PATH").split(File.pathSeparator)).map(Path::of))
        .filter(folder -> Files.isExecutable(folder.resolve("initdb")))
        .findFirst();
  }

  static PostgresCluster start() throws Exception {
    Path home = Files.createTempDirectory("procos-engine-test-");
    try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      PostgresCluster cluster = new PostgresCluster(programs().orElseThrow(), home, free.getLocalPort());
      free.close();
      cluster.create();
      return cluster;
    }
  }

  /** Gives the address as operators write it, for an engine. */
  String address(String database) {
    return "postgresql://" + USER + "@127.0.0.1:" + port + "/" + database;
  }

  DataSource as(String user, String database) {
    PGSimpleDataSource source = new PGSimpleDataSource();
    source.setUrl("jdbc:postgresql://127.0.0.1:" + port + "/" + database);
    source.setUser(user);
    return source;
  }

  @Override
  public void close() throws Exception {
    control("-m", "immediate", "-w", "stop");
    try (Stream<Path> files = Files.walk(home)) {
      files.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
    }
  }

  private void create() throws Exception {
    if (isRoot()) {
      run("chown", USER, home.toString());
    }
    run(asOwner(programs.resolve("initdb"), "-D", data(), "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8"));
    String options = "-c listen_addresses=127.0.0.1 -c fsync=off -c port=" + port + " -c unix_socket_directories=" + home;
    control("-l", home.resolve("log").toString(), "-w", "-o", options, "start");
  }

  private void control(String... arguments) throws Exception {
    List<String> command = new ArrayList<>(List.of("-D", data()));
    command.addAll(List.of(arguments));
    run(asOwner(programs.resolve("pg_ctl"), command.toArray(String[]::new)));
  }

  private String data() {
    return home.resolve("data").toString();
  }

  private static String[] asOwner(Path program, String... arguments) {
    List<String> command = new ArrayList<>(isRoot() ? List.of("runuser", "-u", USER, "--") : List.of());
    command.add(program.toString());
    command.addAll(List.of(arguments));
    return command.toArray(String[]::new);
  }

  private static void run(String... command) throws IOException, InterruptedException {
    // Its words go to a file: a server that inherited a pipe would keep the reader waiting.
    Path words = Files.createTempFile("procos-engine-test-", ".log");
    try {
      Process process =
          new ProcessBuilder(command)
              .directory(new File("/"))
              .redirectErrorStream(true)
              .redirectOutput(words.toFile())
              .start();
      if (!process.waitFor(LIMIT_S, TimeUnit.SECONDS) || process.exitValue() != 0) {
        process.destroyForcibly();
        throw new IOException(String.join(" ", command) + " failed: " + Files.readString(words));
      }
    } finally {
      Files.delete(words);
    }
  }

  private static Stream<Path> released() {
    File[] releases = new File("/usr/lib/postgresql").listFiles((folder, name) -> name.matches("\\d+"));
    return Stream.of(releases == null ? new File[0] : releases)
        .sorted(Comparator.comparing((File release) -> Integer.parseInt(release.getName())).reversed())
        .map(release -> release.toPath().resolve("bin"));
  }

  private static boolean isRoot() {
    return System.getProperty("user.name").equals("root");
  }
}
