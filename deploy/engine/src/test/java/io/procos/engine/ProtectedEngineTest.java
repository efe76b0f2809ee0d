package io.procos.engine;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.http.HttpResponse;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.camunda.bpm.engine.IdentityService;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.RepositoryService;
import org.camunda.bpm.engine.externaltask.LockedExternalTask;
import org.camunda.bpm.engine.history.HistoricVariableInstance;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.boot.test.web.server.LocalServerPort;

@SpringBootTest(
    webEnvironment = SpringBootTest.WebEnvironment.RANDOM_PORT,
    properties = {
      "procos.engine.db.url=jdbc:h2:mem:protected",
      "procos.engine.user=procos-admin",
      "procos.engine.password=pä:ss",
    })
class ProtectedEngineTest {

  @LocalServerPort private int port;
  @Autowired private RepositoryService repository;
  @Autowired private IdentityService identities;
  @Autowired private ProcessEngine engine;

  private EngineCaller anonymous;
  private EngineCaller user;

  @BeforeEach
  void deploy() {
    anonymous = EngineCaller.anonymous(port);
    user = anonymous.as("procos-admin", "pä:ss");
    repository
        .createDeployment()
        .name("tests")
        .enableDuplicateFiltering(true)
        .addClasspathResource("one_step.bpmn")
        .deploy();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"/engine-rest/version", "/engine-rest/engine/default/task", "/engine-rest/process-definition"})
  void asksForCredentials(String path) {
    HttpResponse<String> answer = anonymous.get(path);

    assertThat(answer.statusCode()).isEqualTo(401);
    assertThat(answer.headers().firstValue("WWW-Authenticate")).hasValueSatisfying(how -> assertThat(how).startsWith("Basic"));
  }

  @Test
  void refusesWrongCredentials() {
    assertThat(anonymous.as("procos-admin", "wrong").get("/engine-rest/version").statusCode()).isEqualTo(401);
    assertThat(anonymous.as("other", "pä:ss").get("/engine-rest/version").statusCode()).isEqualTo(401);
    assertThat(anonymous.with("Authorization", "Basic %%%").get("/engine-rest/version").statusCode()).isEqualTo(401);
  }

  @Test
  void asksForCredentialsBeforeItLooksAtVerdicts() {
    assertThat(anonymous.post("/engine-rest/procos/verdicts", "{}").statusCode()).isEqualTo(401);
    assertThat(user.post("/engine-rest/procos/verdicts", "{}").statusCode()).isEqualTo(400);
  }

  @Test
  void saysWhatItCanDoAlsoToThoseItAsksForCredentials() {
    HttpResponse<String> answer = anonymous.get("/engine-rest/version");

    assertThat(answer.statusCode()).isEqualTo(401);
    assertThat(answer.headers().firstValue(CapabilitiesFilter.VERDICTS)).hasValue("50");
    assertThat(answer.headers().firstValue(CapabilitiesFilter.REFUSES_UNCAUGHT_ERRORS)).hasValue("true");
  }

  @Test
  void carriesOutVerdictsAsTheUserWhoSentThem() {
    Steps steps = new Steps(engine, user);
    List<LockedExternalTask> named = List.of(steps.of("named").get(0), steps.of("named").get(0));

    assertThat(steps.statuses(Steps.completions(named))).containsExactly(204, 204);
    assertThat(
            engine.getHistoryService().createHistoricVariableInstanceQuery().variableName("caller").list().stream()
                .map(HistoricVariableInstance::getValue))
        .containsExactly("procos-admin", "procos-admin");
  }

  @Test
  void letsTheUserIn() {
    assertThat(user.get("/engine-rest/version").statusCode()).isEqualTo(200);
  }

  @Test
  void showsTheNamesOfItsEnginesToEverybody() {
    assertThat(anonymous.get("/engine-rest/engine").body()).isEqualTo("[{\"name\":\"default\"}]");
  }

  @Test
  void tellsEverybodyThatItIsHealthy() {
    assertThat(anonymous.get("/actuator/health").statusCode()).isEqualTo(200);
  }

  @Test
  void handsAStepToAPollThatWaitedForIt() throws Exception {
    CompletableFuture<HttpResponse<String>> poll =
        CompletableFuture.supplyAsync(
            () ->
                user.post(
                    "/engine-rest/external-task/fetchAndLock",
                    "{\"workerId\":\"w\",\"maxTasks\":1,\"asyncResponseTimeout\":15000,"
                        + "\"topics\":[{\"topicName\":\"work\",\"lockDuration\":60000}]}"));

    ParkedPollCount.awaitOne();
    user.post("/engine-rest/process-definition/key/one_step/start", "{}");

    HttpResponse<String> answer = poll.get(20, TimeUnit.SECONDS);
    assertThat(answer.statusCode()).isEqualTo(200);
    assertThat(answer.body()).contains("\"topicName\":\"work\"");
  }

  @Test
  void makesTheUserAnAdministratorForCockpit() {
    assertThat(identities.checkPassword("procos-admin", "pä:ss")).isTrue();
    assertThat(identities.createUserQuery().memberOfGroup("camunda-admin").userId("procos-admin").count()).isEqualTo(1);
  }

  @Test
  void keepsCockpitClosedWithoutALogin() {
    assertThat(anonymous.get("/camunda/api/admin/auth/user/default").body()).doesNotContain("cockpit");
    assertThat(anonymous.get("/camunda/api/engine/engine/default/task").statusCode()).isEqualTo(401);
  }
}
