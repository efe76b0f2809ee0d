package io.procos.engine;

import static io.procos.engine.Steps.completion;
import static io.procos.engine.Steps.completions;
import static io.procos.engine.Steps.item;
import static io.procos.engine.Steps.times;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.http.HttpResponse;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import javax.sql.DataSource;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.delegate.JavaDelegate;
import org.camunda.bpm.engine.externaltask.ExternalTask;
import org.camunda.bpm.engine.externaltask.LockedExternalTask;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.logging.LogLevel;
import org.springframework.boot.logging.LoggingSystem;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.boot.test.web.server.LocalServerPort;
import org.springframework.context.support.GenericApplicationContext;
import org.springframework.transaction.ConfigurableTransactionManager;
import org.springframework.transaction.TransactionExecution;
import org.springframework.transaction.TransactionExecutionListener;

@EngineForVerdicts
@ExtendWith(OutputCaptureExtension.class)
class VerdictsTest {

  @LocalServerPort private int port;
  @Autowired private ProcessEngine engine;
  @Autowired private DataSource database;
  @Autowired private ConfigurableTransactionManager transactions;
  @Autowired private GenericApplicationContext context;
  @Autowired private LoggingSystem logging;

  private Steps steps;

  @BeforeEach
  void deploy() {
    steps = new Steps(engine, EngineCaller.anonymous(port));
  }

  @Test
  void saysInEveryAnswerHowLongAListItTakes() {
    EngineCaller caller = EngineCaller.anonymous(port);
    Stream<HttpResponse<String>> answers =
        Stream.of(
            caller.get("/engine-rest/version"),
            caller.get("/engine-rest/external-task/nope"),
            caller.get("/engine-rest/nowhere"),
            caller.post("/engine-rest/external-task/fetchAndLock", "{\"workerId\":\"w\",\"maxTasks\":1,\"topics\":[]}"),
            steps.post("{}"));

    assertThat(answers.map(answer -> answer.headers().firstValue("ProcOS-Verdicts").orElse("")))
        .containsExactly("50", "50", "50", "50", "50");
  }

  @Test
  void carriesOutAListInOneTransaction() {
    List<LockedExternalTask> all = Stream.generate(steps::one).limit(VerdictList.LONGEST).toList();
    Ended ended = new Ended();
    transactions.addListener(ended);

    assertThat(steps.statuses(completions(all))).isEqualTo(times(50, 204));

    assertThat(ended.commits).hasValue(1);
    assertThat(ended.rollbacks).hasValue(0);
    assertThat(all).allMatch(steps::hasEnded);
  }

  @Test
  void sendsTheDatabaseTheSameStatementOnceForManyInstances(CapturedOutput log) {
    String statements = "org.camunda.bpm.engine.impl.persistence.entity.HistoricVariableInstanceEntity";
    List<LockedExternalTask> all = Stream.generate(steps::one).limit(VerdictList.LONGEST).toList();
    logging.setLogLevel(statements, LogLevel.DEBUG);
    try {
      steps.statuses(completions(all));
    } finally {
      logging.setLogLevel(statements, null);
    }

    // The engine sends fifty operations at a time, so that a group may be cut once.
    assertThat(log.toString().lines().filter(line -> line.contains("Preparing: update"))).hasSizeBetween(1, 2);
  }

  @Test
  void carriesOutAllVerbsTogether() {
    LockedExternalTask done = steps.one();
    LockedExternalTask failed = steps.one();
    LockedExternalTask refused = steps.of("guarded").get(0);
    Ended ended = new Ended();
    transactions.addListener(ended);

    List<Integer> statuses =
        steps.statuses(
            completion(done),
            item(failed.getId(), "failure", "{\"workerId\":\"w\",\"retries\":0,\"errorMessage\":\"broken\"}"),
            item(refused.getId(), "bpmnError", "{\"workerId\":\"w\",\"errorCode\":\"REFUSED\"}"));

    assertThat(statuses).isEqualTo(times(3, 204));
    assertThat(ended.commits).hasValue(1);
    assertThat(List.of(done, refused)).allMatch(steps::hasEnded);
    assertThat(steps.incidentsOf(failed)).isEqualTo(1);
  }

  @Test
  void keepsAFailedStepBackForAsLongAsItIsTold() {
    LockedExternalTask step = steps.one();
    Instant inAnHour = Instant.now().plus(Duration.ofHours(1));

    steps.statuses(
        completion(steps.one()),
        item(step.getId(), "failure", "{\"workerId\":\"w\",\"retries\":3,\"retryTimeout\":3600000}"));

    ExternalTask failed =
        engine.getExternalTaskService().createExternalTaskQuery().externalTaskId(step.getId()).singleResult();
    assertThat(failed.getRetries()).isEqualTo(3);
    assertThat(failed.getLockExpirationTime()).isCloseTo(inAnHour, 60_000);
  }

  @Test
  void letsBranchesOfOneInstanceMeet() {
    List<LockedExternalTask> branches = steps.of("guarded");
    List<LockedExternalTask> repetitions = steps.of("several");
    Ended ended = new Ended();
    transactions.addListener(ended);

    List<Integer> statuses =
        steps.statuses(completions(Stream.concat(branches.stream(), repetitions.stream()).toList()));

    assertThat(statuses).isEqualTo(times(2 + 5, 204));
    assertThat(ended.commits).hasValue(1);
    assertThat(List.of(branches.get(0), repetitions.get(0))).allMatch(steps::hasEnded);
  }

  @Test
  void answersTheSecondOfTwoVerdictsOnOneStepAsGone() {
    LockedExternalTask step = steps.one();

    assertThat(steps.statuses(completion(step), completion(step))).containsExactly(204, 404);
    assertThat(steps.hasEnded(step)).isTrue();
  }

  @Test
  void takesAFailureAndThenACompletionOfOneStep() {
    LockedExternalTask step = steps.one();
    String failure = item(step.getId(), "failure", "{\"workerId\":\"w\",\"retries\":0}");

    assertThat(steps.statuses(failure, completion(step))).containsExactly(204, 204);
    assertThat(steps.hasEnded(step)).isTrue();
    assertThat(steps.incidentsOf(step)).isZero();
  }

  @Test
  void answersAStepThatItsNeighbourHasCancelledAsGone() {
    List<LockedExternalTask> branches = steps.of("guarded");
    String error = item(branches.get(0).getId(), "bpmnError", "{\"workerId\":\"w\",\"errorCode\":\"REFUSED\"}");

    assertThat(steps.statuses(error, completion(branches.get(1)))).containsExactly(204, 404);
    assertThat(steps.hasEnded(branches.get(0))).isTrue();
  }

  @Test
  void triesOneByOneWhenAnotherChangesAStepMeanwhile() {
    LockedExternalTask victim = steps.one();
    LockedExternalTask meddled = steps.of("meddled").get(0);
    AtomicInteger calls = new AtomicInteger();
    JavaDelegate meddler =
        execution ->
            // In a thread of its own, so that it is a transaction of its own.
            CompletableFuture.runAsync(
                    () -> {
                      if (calls.incrementAndGet() == 1) {
                        engine.getExternalTaskService().setPriority(victim.getId(), 7);
                      }
                    })
                .join();
    context.registerBean("meddler", JavaDelegate.class, () -> meddler);

    assertThat(steps.statuses(completion(victim), completion(meddled))).containsExactly(204, 204);

    assertThat(calls).hasValue(2);
    assertThat(List.of(victim, meddled)).allMatch(steps::hasEnded);
  }

  @Test
  void doesNotRepeatForEachVerdictThatTheDatabaseIsGone() throws SQLException {
    List<LockedExternalTask> all = Stream.generate(steps::one).limit(VerdictList.LONGEST).toList();
    List<Connection> taken = new ArrayList<>();
    Instant asked = Instant.now();
    List<JsonNode> answers;
    try {
      for (int i = 0; i < 3; i++) {
        taken.add(database.getConnection());
      }
      answers = steps.listed(completions(all));
    } finally {
      for (Connection connection : taken) {
        connection.close();
      }
    }

    assertThat(answers)
        .hasSize(50)
        .allMatch(answer -> answer.get("status").intValue() == 500)
        .allMatch(answer -> answer.get("type").asText().equals("CannotCreateTransactionException"));
    assertThat(Duration.between(asked, Instant.now())).isLessThan(Duration.ofSeconds(15));
    assertThat(steps.statuses(completions(all))).isEqualTo(times(50, 204));
  }

  @Test
  void doesNotLogWhatIsOnlyAnswered(CapturedOutput log) {
    steps.statuses(completion(steps.one()), item("nope", "complete", "{\"workerId\":\"w\"}"), completion(steps.one()));

    assertThat(log).doesNotContain("ERROR").doesNotContain("WARN");
  }

  /** Counts how the transactions of callers end. */
  private static final class Ended implements TransactionExecutionListener {

    final AtomicInteger commits = new AtomicInteger();
    final AtomicInteger rollbacks = new AtomicInteger();

    @Override
    public void afterCommit(TransactionExecution transaction, Throwable failure) {
      count(commits);
    }

    @Override
    public void afterRollback(TransactionExecution transaction, Throwable failure) {
      count(rollbacks);
    }

    private static void count(AtomicInteger ended) {
      // The test asks the engine too, in its own thread.
      if (Thread.currentThread().getName().startsWith("http-")) {
        ended.incrementAndGet();
      }
    }
  }
}
