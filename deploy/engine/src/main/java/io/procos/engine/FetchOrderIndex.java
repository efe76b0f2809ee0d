package io.procos.engine;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import javax.sql.DataSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The index from which PostgreSQL reads what waits in the order of fetching: most urgent, then oldest, first.
 *
 * <p>Without it each fetch sorts all that waits. It is made while the table is written to: a plain CREATE INDEX would
 * hold up every engine of the database for as long as it takes. H2 gets none, since it sorts all the same (README.md).
 */
final class FetchOrderIndex {

  static final String NAME = "PROCOS_IDX_EXT_TASK_ORDER";

  /** What stood in the way of making it mostly stands in the way of this too. */
  private static final Duration LIMIT_AFTER_FAILURE = Duration.ofSeconds(2);

  private static final Logger LOG = LoggerFactory.getLogger("io.procos.engine");

  private final DataSource database;
  private final String table;
  private final Duration limit;

  /** Takes the table with its prefix, and how long the start may wait for the index. */
  FetchOrderIndex(DataSource database, String table, Duration limit) {
    this.database = database;
    this.table = table;
    this.limit = limit;
  }

  /** Makes the index where it serves and is missing; where that fails it says so, and the engine does without. */
  void ensure() {
    try (Connection connection = database.getConnection()) {
      if (connection.getMetaData().getDatabaseProductName().equals("PostgreSQL")) {
        // What is made beside the traffic on the table cannot be part of a transaction.
        connection.setAutoCommit(true);
        ensure(connection);
      }
    } catch (SQLException failed) {
      LOG.warn(
          "the index {} could not be made ({}): each fetch sorts all that waits, which is slow from some thousands on;"
              + " let the owner of the table run: {}; {};",
          NAME,
          String.valueOf(failed.getMessage()).lines().findFirst().orElse("no reason given"),
          removal(),
          creation());
    }
  }

  private void ensure(Connection connection) throws SQLException {
    if (is(connection, FetchOrderQueries.SERVES)) {
      return;
    }
    // Never waited for: who waits in PostgreSQL is waited for by the one who makes the index.
    if (!is(connection, FetchOrderQueries.TAKE_TURN)) {
      LOG.info("the index {} is being made by another engine", NAME);
      return;
    }
    try {
      makeUnlessMade(connection);
    } finally {
      is(connection, FetchOrderQueries.END_TURN);
    }
  }

  private void makeUnlessMade(Connection connection) throws SQLException {
    if (is(connection, FetchOrderQueries.SERVES)) {
      return;
    }
    if (is(connection, FetchOrderQueries.IS_BEING_MADE)) {
      LOG.info("the index {} is being made by somebody", NAME);
      return;
    }
    LOG.info("making the index {}; no work stops, and the start waits for at most {} s", NAME, limit.toSeconds());
    dropBroken(connection, limit);
    try {
      execute(connection, creation(), limit);
    } catch (SQLException failed) {
      dropAfter(failed, connection);
      throw failed;
    }
  }

  private void dropAfter(SQLException failed, Connection connection) {
    try {
      dropBroken(connection, LIMIT_AFTER_FAILURE);
    } catch (SQLException alsoFailed) {
      // It costs each write a little; the next start tries again.
      failed.addSuppressed(alsoFailed);
    }
  }

  /** Drops what a break has left under the name: PostgreSQL maintains it and never reads it. */
  private void dropBroken(Connection connection, Duration limit) throws SQLException {
    if (is(connection, FetchOrderQueries.IS_BROKEN)) {
      execute(connection, removal(), limit);
    }
  }

  private String removal() {
    return "DROP INDEX CONCURRENTLY IF EXISTS " + schema() + NAME;
  }

  private String creation() {
    return "CREATE INDEX CONCURRENTLY " + NAME + " ON " + table + " (PRIORITY_ DESC, CREATE_TIME_ ASC)";
  }

  private String schema() {
    // An index lies in the schema of its table.
    return table.substring(0, table.lastIndexOf('.') + 1);
  }

  private static void execute(Connection connection, String sql, Duration limit) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.setQueryTimeout((int) limit.toSeconds());
      statement.execute(sql);
    }
  }

  private boolean is(Connection connection, String question) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(question)) {
      statement.setString(1, table);
      statement.setString(2, NAME);
      try (ResultSet answer = statement.executeQuery()) {
        return answer.next() && answer.getBoolean(1);
      }
    }
  }
}
