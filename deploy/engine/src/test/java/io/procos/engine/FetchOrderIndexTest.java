package io.procos.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import javax.sql.DataSource;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.jdbc.core.JdbcTemplate;

/** On a PostgreSQL of its own, with a database and a table for each test. */
@EnabledIf("isInstalled")
@ExtendWith(OutputCaptureExtension.class)
class FetchOrderIndexTest {

  private static final String TABLE = "ACT_RU_EXT_TASK";
  private static final String COLUMNS =
      " (ID_ varchar(64), TOPIC_NAME_ varchar(255), PRIORITY_ bigint, CREATE_TIME_ timestamp)";
  private static final Duration LIMIT = Duration.ofSeconds(30);
  private static final String OURS = FetchOrderIndex.NAME.toLowerCase();

  private static PostgresCluster cluster;

  private String name;
  private DataSource database;
  private JdbcTemplate sql;

  static boolean isInstalled() {
    return PostgresCluster.programs().isPresent();
  }

  @BeforeAll
  static void startPostgres() throws Exception {
    cluster = PostgresCluster.start();
  }

  @AfterAll
  static void stopPostgres() throws Exception {
    cluster.close();
  }

  @BeforeEach
  void makeTheTable() {
    name = "test_" + UUID.randomUUID().toString().replace('-', '_');
    new JdbcTemplate(cluster.as("postgres", "postgres")).execute("CREATE DATABASE " + name);
    database = cluster.as("postgres", name);
    sql = new JdbcTemplate(database);
    sql.execute("CREATE TABLE " + TABLE + COLUMNS);
  }

  @Test
  void isMadeOnceAndThenLeftAlone(CapturedOutput log) {
    ensure(database);
    ensure(database);

    assertThat(indexes()).containsExactly(OURS);
    assertThat(log).containsOnlyOnce("making the index").doesNotContain("WARN");
  }

  @Test
  void sparesTheDatabaseTheSorting() {
    fill(20_000);
    ensure(database);
    sql.execute("ANALYZE " + TABLE);

    assertThat(String.join("\n", sql.queryForList(
            "EXPLAIN SELECT * FROM " + TABLE + " ORDER BY PRIORITY_ desc, CREATE_TIME_ asc LIMIT 100", String.class)))
        .contains(OURS)
        .doesNotContain("Sort");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"PRIORITY_ DESC, CREATE_TIME_", "PRIORITY_, CREATE_TIME_ DESC", "PRIORITY_ DESC, CREATE_TIME_, ID_"})
  void isNotMadeBesideOneThatGivesTheSameOrder(String columns) {
    sql.execute("CREATE INDEX by_hand ON " + TABLE + " (" + columns + ")");

    ensure(database);

    assertThat(indexes()).containsExactly("by_hand");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "(PRIORITY_)",
        "(PRIORITY_, CREATE_TIME_)",
        "(CREATE_TIME_, PRIORITY_ DESC)",
        "(PRIORITY_ DESC, CREATE_TIME_) WHERE TOPIC_NAME_ = 'work'",
        "(PRIORITY_ DESC NULLS LAST, CREATE_TIME_)",
      })
  void isMadeBesideOneThatGivesAnother(String index) {
    sql.execute("CREATE INDEX other ON " + TABLE + " " + index);

    ensure(database);

    assertThat(indexes()).containsExactly("other", OURS);
  }

  @Test
  void lacksWithAWarningWhereTheUserMayNotMakeIt(CapturedOutput log) {
    sql.execute("CREATE ROLE " + name + " LOGIN");
    sql.execute("GRANT ALL ON " + TABLE + " TO " + name);

    ensure(cluster.as(name, name));

    assertThat(indexes()).isEmpty();
    assertThat(log)
        .containsOnlyOnce("WARN")
        .contains("must be owner of table")
        .contains("run: DROP INDEX CONCURRENTLY IF EXISTS " + FetchOrderIndex.NAME + "; ")
        .contains("; " + byHand() + ";");
  }

  @Test
  void isMadeByOneOfManyEnginesThatStartAtOnce(CapturedOutput log) {
    fill(50_000);

    List<CompletableFuture<Void>> starts =
        IntStream.range(0, 8).mapToObj(i -> inAThread(() -> ensure(database))).toList();
    starts.forEach(CompletableFuture::join);

    assertThat(indexes()).containsExactly(OURS);
    assertThat(log).containsOnlyOnce("making the index").doesNotContain("WARN");
  }

  @Test
  void isGivenUpWhenATransactionStandsInTheWayAndIsMadeAtTheNextStart(CapturedOutput log) throws Exception {
    try (Connection other = openTransaction()) {
      new FetchOrderIndex(database, TABLE, Duration.ofSeconds(1)).ensure();
      other.rollback();
    }
    assertThat(log).containsOnlyOnce("WARN");
    assertThat(isUsable()).isFalse();

    ensure(database);

    assertThat(isUsable()).isTrue();
    assertThat(log).containsOnlyOnce("WARN");
  }

  @Test
  void isLeftToWhoeverIsMakingItByHand(CapturedOutput log) throws Exception {
    CompletableFuture<Void> hand;
    try (Connection other = openTransaction()) {
      hand = inAThread(() -> sql.execute(byHand()));
      await().atMost(LIMIT).until(() -> indexes().contains(OURS));

      ensure(database);

      other.rollback();
    }
    hand.get(LIMIT.toSeconds(), TimeUnit.SECONDS);
    assertThat(isUsable()).isTrue();
    assertThat(log).contains("is being made by somebody").doesNotContain("WARN");
  }

  @Test
  void isFoundAndMadeInAnotherSchemaUnderAPrefix() {
    sql.execute("CREATE SCHEMA other");
    sql.execute("CREATE TABLE other.P_" + TABLE + COLUMNS);

    new FetchOrderIndex(database, "other.P_" + TABLE, LIMIT).ensure();
    new FetchOrderIndex(database, "other.P_" + TABLE, LIMIT).ensure();

    assertThat(sql.queryForList("SELECT tablename FROM pg_indexes WHERE schemaname = 'other'", String.class))
        .containsExactly("p_act_ru_ext_task");
  }

  @Test
  void isNotMadeOnH2(CapturedOutput log) {
    JdbcDataSource h2 = new JdbcDataSource();
    h2.setUrl("jdbc:h2:mem:" + name + ";DB_CLOSE_DELAY=-1");
    JdbcTemplate inH2 = new JdbcTemplate(h2);
    inH2.execute("CREATE TABLE " + TABLE + COLUMNS);

    ensure(h2);

    assertThat(inH2.queryForList("SELECT 1 FROM INFORMATION_SCHEMA.INDEXES WHERE TABLE_NAME = '" + TABLE + "'")).isEmpty();
    assertThat(log).doesNotContain("the index");
    inH2.execute("SHUTDOWN");
  }

  private static void ensure(DataSource database) {
    new FetchOrderIndex(database, TABLE, LIMIT).ensure();
  }

  private static String byHand() {
    return "CREATE INDEX CONCURRENTLY " + FetchOrderIndex.NAME + " ON " + TABLE + " (PRIORITY_ DESC, CREATE_TIME_ ASC)";
  }

  private static CompletableFuture<Void> inAThread(Runnable work) {
    return CompletableFuture.runAsync(work, task -> new Thread(task).start());
  }

  private Connection openTransaction() throws SQLException {
    Connection connection = database.getConnection();
    connection.setAutoCommit(false);
    connection.createStatement().execute("INSERT INTO " + TABLE + " VALUES ('open')");
    return connection;
  }

  private void fill(int rows) {
    sql.execute("INSERT INTO " + TABLE + " SELECT i, 'work', i % 3, now() FROM generate_series(1, " + rows + ") i");
  }

  private boolean isUsable() {
    return sql.queryForObject("SELECT indisvalid FROM pg_index WHERE indrelid = 'act_ru_ext_task'::regclass", Boolean.class);
  }

  private List<String> indexes() {
    return sql.queryForList(
        "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid"
            + " WHERE indrelid = 'act_ru_ext_task'::regclass ORDER BY 1",
        String.class);
  }
}
