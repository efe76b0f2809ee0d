package io.procos.engine;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.http.HttpResponse;
import java.util.List;
import org.camunda.bpm.engine.ExternalTaskService;
import org.camunda.bpm.engine.RepositoryService;
import org.camunda.bpm.engine.RuntimeService;
import org.camunda.bpm.engine.externaltask.LockedExternalTask;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.boot.test.web.server.LocalServerPort;

@SpringBootTest(
    webEnvironment = SpringBootTest.WebEnvironment.RANDOM_PORT,
    properties = "procos.engine.db.url=jdbc:h2:mem:open")
@ExtendWith(OutputCaptureExtension.class)
class OpenEngineTest {

  @LocalServerPort private int port;
  @Autowired private RepositoryService repository;
  @Autowired private RuntimeService runtime;
  @Autowired private ExternalTaskService externalTasks;

  private EngineCaller caller;

  @BeforeEach
  void deploy() {
    caller = EngineCaller.anonymous(port);
    repository
        .createDeployment()
        .name("tests")
        .enableDuplicateFiltering(true)
        .addClasspathResource("one_step.bpmn")
        .deploy();
  }

  @Test
  void answersWithoutCredentials() {
    HttpResponse<String> answer = caller.get("/engine-rest/version");

    assertThat(answer.statusCode()).isEqualTo(200);
    assertThat(answer.body()).contains("\"7.24.0\"");
  }

  @Test
  void saysThatItRefusesUncaughtErrors() {
    HttpResponse<String> answer = caller.get("/engine-rest/version");

    assertThat(answer.headers().firstValue(CapabilitiesFilter.REFUSES_UNCAUGHT_ERRORS)).hasValue("true");
  }

  @ParameterizedTest
  @ValueSource(strings = {"/actuator/health", "/actuator/health/liveness", "/actuator/health/readiness"})
  void saysThatItIsHealthy(String path) {
    assertThat(caller.get(path).body()).contains("\"status\":\"UP\"");
  }

  @Test
  void exposesNothingElseOfTheActuator() {
    assertThat(caller.get("/actuator/env").statusCode()).isEqualTo(404);
  }

  @Test
  void keepsJsonVariablesAsTheyCame() {
    String json = "{\\\"city\\\":\\\"Köln\\\",\\\"n\\\":[1,2]}";
    HttpResponse<String> started =
        caller.post(
            "/engine-rest/process-definition/key/one_step/start",
            "{\"businessKey\":\"json\",\"variables\":{\"doc\":{\"type\":\"Json\",\"value\":\"" + json + "\"}}}");
    assertThat(started.statusCode()).isEqualTo(200);

    String id = runtime.createProcessInstanceQuery().processInstanceBusinessKey("json").singleResult().getId();
    String stored =
        caller.get("/engine-rest/process-instance/" + id + "/variables/doc?deserializeValue=false").body();

    assertThat(stored).contains("\"type\":\"Json\"").contains(json);
  }

  @Test
  void keepsXmlVariables() {
    HttpResponse<String> started =
        caller.post(
            "/engine-rest/process-definition/key/one_step/start",
            "{\"variables\":{\"doc\":{\"type\":\"Xml\",\"value\":\"<a/>\"}}}");

    assertThat(started.statusCode()).isEqualTo(200);
  }

  @Test
  void refusesABpmnErrorThatNobodyCatches() {
    String instance = runtime.startProcessInstanceByKey("one_step", "uncaught").getId();
    List<LockedExternalTask> locked =
        externalTasks.fetchAndLock(100, "w").topic("work", 60_000).businessKey("uncaught").execute();

    HttpResponse<String> answer =
        caller.post(
            "/engine-rest/external-task/" + locked.get(0).getId() + "/bpmnError",
            "{\"workerId\":\"w\",\"errorCode\":\"NOBODY\"}");

    assertThat(answer.statusCode()).isEqualTo(500);
    assertThat(answer.body()).contains("NOBODY");
    assertThat(runtime.createProcessInstanceQuery().processInstanceId(instance).count()).isEqualTo(1);
  }

  @Test
  void keepsTheContentsOfAVariableOutOfTheLog(CapturedOutput log) {
    String tooLong = "confidential ".repeat(400);
    HttpResponse<String> answer =
        caller.post(
            "/engine-rest/process-definition/key/one_step/start",
            "{\"variables\":{\"text\":{\"type\":\"String\",\"value\":\"" + tooLong + "\"}}}");

    assertThat(answer.body()).contains("\"code\":10002").doesNotContain("confidential");
    assertThat(log).contains("Value too long for column").doesNotContain("confidential");
  }

  @Test
  void opensCockpitWithoutALogin() {
    assertThat(caller.get("/camunda/app/cockpit/default/").body()).contains("Cockpit");
    assertThat(caller.get("/camunda/api/admin/auth/user/default").body()).contains("\"cockpit\"");
  }

  @ParameterizedTest
  @ValueSource(strings = {"https://example.com", "http://localhost.example.com", "null"})
  void turnsAwayPagesOfOthers(String origin) {
    EngineCaller page = caller.with("Origin", origin);

    assertThat(page.get("/engine-rest/version").statusCode()).isEqualTo(403);
    assertThat(page.get("/camunda/api/admin/auth/user/default").statusCode()).isEqualTo(403);
    assertThat(page.post("/engine-rest/procos/verdicts", "{}").statusCode()).isEqualTo(403);
  }

  @ParameterizedTest
  @ValueSource(strings = {"http://localhost:8080", "http://127.0.0.1:5000", "http://[::1]:8080"})
  void answersPagesOfThisHost(String origin) {
    assertThat(caller.with("Origin", origin).get("/engine-rest/version").statusCode()).isEqualTo(200);
  }
}
