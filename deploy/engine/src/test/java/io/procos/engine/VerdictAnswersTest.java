package io.procos.engine;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.externaltask.LockedExternalTask;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.web.server.LocalServerPort;

/** Each item of a list gets, word for word, the answer of the single call, and leaves the same behind. */
@EngineForVerdicts
class VerdictAnswersTest {

  private static final String TOO_LONG = "x".repeat(4001);

  @LocalServerPort private int port;
  @Autowired private ProcessEngine engine;

  private EngineCaller caller;
  private Steps steps;

  @BeforeEach
  void deploy() {
    caller = EngineCaller.anonymous(port);
    steps = new Steps(engine, caller);
  }

  static Stream<Case> cases() {
    return Stream.of(
        Case.of("a completion", 204, "complete", "{'workerId':'w'}"),
        Case.of("a completion with results", 204, "complete",
            "{'workerId':'w','variables':{'n':{'type':'Long','value':7},'any':{'value':[1,2]}},"
                + "'localVariables':{'at':{'type':'Date','value':'2026-11-23T04:00:00.000+0000'}}}"),
        Case.of("a failure", 204, "failure",
            "{'workerId':'w','errorMessage':'m','errorDetails':'d','retries':2,'retryTimeout':60000}"),
        Case.of("a failure with a variable", 204, "failure",
            "{'workerId':'w','errorMessage':'m','retries':1,'retryTimeout':5,'variables':{'n':{'value':7}}}"),
        Case.of("a failure that leaves no retries", 204, "failure", "{'workerId':'w','errorMessage':'m','retries':0}"),
        Case.of("a failure that says nothing of retries", 204, "failure", "{'workerId':'w'}"),
        Case.of("a BPMN error", 204, "bpmnError",
                "{'workerId':'w','errorCode':'REFUSED','errorMessage':'m','variables':{'n':{'value':7}}}")
            .in("guarded"),
        Case.of("a lock that has expired", 204, "complete", "{'workerId':'w'}").lockedFor(1),
        Case.of("a step that has ended", 404, "complete", "{'workerId':'w'}")
            .after((engine, step) -> engine.getExternalTaskService().complete(step.getId(), Steps.WORKER)),
        Case.of("a failure of a step that has ended", 404, "failure", "{'workerId':'w','retries':1}")
            .after((engine, step) -> engine.getExternalTaskService().complete(step.getId(), Steps.WORKER)),
        Case.of("an id that never was", 404, "bpmnError", "{'workerId':'w','errorCode':'REFUSED'}").withId("nope"),
        Case.of("the lock of another", 400, "complete", "{'workerId':'other'}"),
        Case.of("a failure under the lock of another", 400, "failure", "{'workerId':'other','retries':1}"),
        Case.of("an instance that is suspended", 400, "complete", "{'workerId':'w'}")
            .after(
                (engine, step) ->
                    engine.getRuntimeService().suspendProcessInstanceById(step.getProcessInstanceId())),
        Case.of("no worker", 500, "complete", "{}"),
        Case.of("no error code", 500, "bpmnError", "{'workerId':'w'}"),
        Case.of("a text too long for its column", 500, "complete",
            "{'workerId':'w','variables':{'text':{'type':'String','value':'" + TOO_LONG + "'}}}"),
        Case.of("a type of variable that is unknown", 400, "complete",
            "{'workerId':'w','variables':{'v':{'type':'Nonsense','value':1}}}"),
        Case.of("a value of another type", 400, "complete",
            "{'workerId':'w','variables':{'v':{'type':'Integer','value':'many'}}}"),
        Case.of("a date in another form", 400, "complete",
            "{'workerId':'w','variables':{'v':{'type':'Date','value':'2026-11-23T04:00:00Z'}}}"),
        Case.of("a file without a name", 500, "complete",
            "{'workerId':'w','variables':{'v':{'type':'File','value':'eA=='}}}"),
        Case.of("a BPMN error nobody catches", 500, "bpmnError", "{'workerId':'w','errorCode':'NOBODY'}"),
        Case.of("a model that breaks after the step", 500, "complete", "{'workerId':'w'}").in("broken"));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void answersAsTheSingleCallDoes(Case each) {
    LockedExternalTask bySingleCall = each.prepared(steps, engine);
    LockedExternalTask alone = each.prepared(steps, engine);
    LockedExternalTask between = each.prepared(steps, engine);
    LockedExternalTask before = steps.one();
    LockedExternalTask after = steps.one();

    JsonNode expected = steps.single(each.id(bySingleCall), each.verb(), each.fields());
    JsonNode answerAlone = steps.listed(each.item(alone)).get(0);
    List<JsonNode> answers = steps.listed(Steps.completion(before), each.item(between), Steps.completion(after));

    assertThat(expected.get("status").intValue()).isEqualTo(each.status());
    assertThat(plain(answerAlone, alone)).isEqualTo(plain(expected, bySingleCall));
    assertThat(plain(answers.get(1), between)).isEqualTo(plain(expected, bySingleCall));
    assertThat(List.of(answers.get(0), answers.get(2))).allMatch(Steps.read("{\"status\":204}")::equals);
    assertThat(List.of(before, after)).allMatch(steps::hasEnded);
    assertThat(List.of(traces(alone), traces(between))).allMatch(traces(bySingleCall)::equals);
  }

  @ParameterizedTest
  @CsvSource({"failure, retries, '\"many\"'", "complete, variables, [1]"})
  void refusesFieldsThatCannotBeRead(String verb, String field, String value) {
    String id = steps.one().getId();
    String fields = "{\"workerId\":\"w\",\"" + field + "\":" + value + "}";

    assertThat(caller.post("/engine-rest/external-task/" + id + "/" + verb, fields).statusCode()).isEqualTo(400);
    // The single call has this body too, or one in plain text: two parts of the engine compete for it at each start.
    assertThat(steps.listed(Steps.item(id, verb, fields)).get(0))
        .isEqualTo(Steps.read("{\"status\":400,\"type\":\"InvalidRequestException\",\"message\":\"\",\"code\":null}"));
  }

  /** Gives what the engine knows of a step and its instance after all, without what is different in each instance. */
  private String traces(LockedExternalTask step) {
    String instance = step.getProcessInstanceId();
    return Stream.of(
            "/external-task?processInstanceId=" + instance,
            "/incident?processInstanceId=" + instance,
            "/history/external-task-log?sortBy=timestamp&sortOrder=asc&processInstanceId=" + instance,
            "/history/activity-instance?sortBy=activityId&sortOrder=asc&processInstanceId=" + instance,
            "/history/variable-instance?sortBy=variableName&sortOrder=asc&processInstanceId=" + instance,
            "/history/incident?processInstanceId=" + instance)
        .map(path -> plain(Steps.read(caller.get("/engine-rest" + path).body()), step))
        .reduce("", (all, one) -> all + one + "\n");
  }

  private static String plain(JsonNode answer, LockedExternalTask step) {
    return answer
        .toString()
        .replace(step.getId(), "<task>")
        .replace(String.valueOf(step.getBusinessKey()), "<key>")
        .replaceAll("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>")
        .replaceAll("\"\\d{4}-\\d\\d-\\d\\dT[^\"]*\"", "<time>")
        .replaceAll("\"durationInMillis\":\\d+", "<duration>");
  }

  /** A call on one step: what comes before it, what it says, and the status of its answer. */
  record Case(
      String name,
      int status,
      String verb,
      String fields,
      String process,
      long lockMillis,
      BiConsumer<ProcessEngine, LockedExternalTask> before,
      Function<LockedExternalTask, String> naming) {

    static Case of(String name, int status, String verb, String fields) {
      return new Case(
          name,
          status,
          verb,
          fields.replace('\'', '"'),
          "one_step",
          60_000,
          (engine, step) -> {},
          LockedExternalTask::getId);
    }

    Case in(String other) {
      return new Case(name, status, verb, fields, other, lockMillis, before, naming);
    }

    Case lockedFor(long millis) {
      return new Case(name, status, verb, fields, process, millis, before, naming);
    }

    Case after(BiConsumer<ProcessEngine, LockedExternalTask> event) {
      return new Case(name, status, verb, fields, process, lockMillis, event, naming);
    }

    Case withId(String id) {
      return new Case(name, status, verb, fields, process, lockMillis, before, step -> id);
    }

    LockedExternalTask prepared(Steps steps, ProcessEngine engine) {
      LockedExternalTask step = steps.of(process, lockMillis).get(0);
      before.accept(engine, step);
      return step;
    }

    String id(LockedExternalTask step) {
      return naming.apply(step);
    }

    String item(LockedExternalTask step) {
      return Steps.item(id(step), verb, fields);
    }

    @Override
    public String toString() {
      return name;
    }
  }
}
