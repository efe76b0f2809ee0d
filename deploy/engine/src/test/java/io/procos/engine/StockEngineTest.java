package io.procos.engine;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.http.HttpResponse;
import java.util.List;
import org.camunda.bpm.engine.ExternalTaskService;
import org.camunda.bpm.engine.RepositoryService;
import org.camunda.bpm.engine.RuntimeService;
import org.camunda.bpm.engine.externaltask.LockedExternalTask;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.boot.test.web.server.LocalServerPort;

/** The engine without what sets it apart for callers: lists of verdicts, and its way with BPMN errors. */
@SpringBootTest(
    webEnvironment = SpringBootTest.WebEnvironment.RANDOM_PORT,
    properties = {
      "procos.engine.db.url=jdbc:h2:mem:stock",
      "procos.engine.bulk.verdicts=false",
      "camunda.bpm.generic-properties.properties.enable-exceptions-after-unhandled-bpmn-error=false",
    })
class StockEngineTest {

  @LocalServerPort private int port;
  @Autowired private RepositoryService repository;
  @Autowired private RuntimeService runtime;
  @Autowired private ExternalTaskService externalTasks;

  @Test
  void doesNotSayThatItRefusesUncaughtErrors() {
    HttpResponse<String> answer = EngineCaller.anonymous(port).get("/engine-rest/version");

    assertThat(answer.headers().firstValue(CapabilitiesFilter.REFUSES_UNCAUGHT_ERRORS)).isEmpty();
  }

  @Test
  void takesNoVerdictsInListsAndDoesNotSaySo() {
    HttpResponse<String> answer = EngineCaller.anonymous(port).post("/engine-rest/procos/verdicts", "{}");

    assertThat(answer.statusCode()).isEqualTo(404);
    assertThat(answer.headers().firstValue(CapabilitiesFilter.VERDICTS)).isEmpty();
  }

  @Test
  void swallowsABpmnErrorThatNobodyCatches() {
    repository.createDeployment().addClasspathResource("one_step.bpmn").deploy();
    String instance = runtime.startProcessInstanceByKey("one_step", "uncaught").getId();
    List<LockedExternalTask> locked =
        externalTasks.fetchAndLock(1, "w").topic("work", 60_000).businessKey("uncaught").execute();

    HttpResponse<String> answer =
        EngineCaller.anonymous(port)
            .post(
                "/engine-rest/external-task/" + locked.get(0).getId() + "/bpmnError",
                "{\"workerId\":\"w\",\"errorCode\":\"NOBODY\"}");

    assertThat(answer.statusCode()).isEqualTo(204);
    assertThat(runtime.createProcessInstanceQuery().processInstanceId(instance).count()).isZero();
  }
}
