package io.procos.engine;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.junit.jupiter.api.extension.ExtendWith;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.jdbc.core.JdbcTemplate;

/** A whole engine on an empty PostgreSQL database. */
@EnabledIf("isInstalled")
@ExtendWith(OutputCaptureExtension.class)
class FetchOrderStartTest {

  static boolean isInstalled() {
    return PostgresCluster.programs().isPresent();
  }

  @Test
  void makesTheIndexAfterTheSchemaAndBeforeItIsReady(CapturedOutput log) throws Exception {
    try (PostgresCluster cluster = PostgresCluster.start()) {
      start(cluster).close();
      assertThat(log.getOut()).containsSubsequence("making the index", "ready after").doesNotContain("WARN");
      assertThat(tableOfTheIndex(cluster)).containsExactly("act_ru_ext_task");

      start(cluster).close();
      assertThat(log.getOut()).containsOnlyOnce("making the index").doesNotContain("WARN");
    }
  }

  private static List<String> tableOfTheIndex(PostgresCluster cluster) {
    return new JdbcTemplate(cluster.as("postgres", "postgres"))
        .queryForList("SELECT tablename FROM pg_indexes WHERE indexname = lower(?)", String.class, FetchOrderIndex.NAME);
  }

  private static ConfigurableApplicationContext start(PostgresCluster cluster) {
    SpringApplication application = new SpringApplication(EngineApplication.class);
    application.setDefaultProperties(
        Map.of("procos.engine.db.url", cluster.address("postgres"), "procos.engine.port", "0"));
    return application.run();
  }
}
