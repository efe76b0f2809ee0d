package io.procos.engine;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.UUID;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.externaltask.LockedExternalTask;

/** Makes locked steps of the test models, and reports on them as a client does: one a call, or in a list. */
final class Steps {

  static final String WORKER = "w";

  private static final ObjectMapper MAPPER = new ObjectMapper();

  private final ProcessEngine engine;
  private final EngineCaller caller;

  Steps(ProcessEngine engine, EngineCaller caller) {
    this.engine = engine;
    this.caller = caller;
    engine
        .getRepositoryService()
        .createDeployment()
        .name("tests of verdicts")
        .enableDuplicateFiltering(true)
        .addClasspathResource("one_step.bpmn")
        .addClasspathResource("verdicts.bpmn")
        .deploy();
  }

  /** Starts an instance and locks what it waits for. */
  List<LockedExternalTask> of(String process) {
    return of(process, 60_000);
  }

  List<LockedExternalTask> of(String process, long lockMillis) {
    String key = UUID.randomUUID().toString();
    engine.getRuntimeService().startProcessInstanceByKey(process, key);
    List<LockedExternalTask> locked =
        engine.getExternalTaskService().fetchAndLock(10, WORKER).topic("work", lockMillis).businessKey(key).execute();
    return locked.stream().sorted(Comparator.comparing(LockedExternalTask::getActivityId)).toList();
  }

  LockedExternalTask one() {
    return of("one_step").get(0);
  }

  boolean hasEnded(LockedExternalTask step) {
    String instance = step.getProcessInstanceId();
    return engine.getRuntimeService().createProcessInstanceQuery().processInstanceId(instance).count() == 0;
  }

  long incidentsOf(LockedExternalTask step) {
    String instance = step.getProcessInstanceId();
    return engine.getRuntimeService().createIncidentQuery().processInstanceId(instance).count();
  }

  /** Gives the answer of a single call in the form of an answer in a list. */
  ObjectNode single(String id, String verb, String fields) {
    HttpResponse<String> answer = caller.post("/engine-rest/external-task/" + id + "/" + verb, fields);
    ObjectNode node = MAPPER.createObjectNode().put("status", answer.statusCode());
    if (!answer.body().isEmpty()) {
      node.setAll((ObjectNode) read(answer.body()));
    }
    return node;
  }

  /** Gives the answers to a list. */
  List<JsonNode> listed(String... items) {
    HttpResponse<String> answer = post("{\"verdicts\":[" + String.join(",", items) + "]}");
    if (answer.statusCode() != 200) {
      throw new AssertionError(answer.statusCode() + ": " + answer.body());
    }
    List<JsonNode> answers = new ArrayList<>();
    read(answer.body()).get("answers").forEach(answers::add);
    return answers;
  }

  List<Integer> statuses(String... items) {
    return listed(items).stream().map(answer -> answer.get("status").intValue()).toList();
  }

  HttpResponse<String> post(String body) {
    return caller.post("/engine-rest/procos/verdicts", body);
  }

  /** Writes an item: the fields of a single call, with the step and the verb beside them. */
  static String item(String id, String verb, String fields) {
    ObjectNode item = MAPPER.createObjectNode().put("externalTaskId", id).put("verb", verb);
    item.setAll((ObjectNode) read(fields));
    return item.toString();
  }

  static String completion(LockedExternalTask step) {
    return item(step.getId(), "complete", "{\"workerId\":\"w\"}");
  }

  static String[] completions(List<LockedExternalTask> steps) {
    return steps.stream().map(Steps::completion).toArray(String[]::new);
  }

  static List<Integer> times(int n, int status) {
    return Collections.nCopies(n, status);
  }

  static JsonNode read(String json) {
    try {
      return MAPPER.readTree(json);
    } catch (JsonProcessingException broken) {
      throw new AssertionError(broken);
    }
  }
}
