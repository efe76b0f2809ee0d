package io.procos.engine;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.http.HttpResponse;
import java.util.Collections;
import java.util.stream.Stream;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.externaltask.LockedExternalTask;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.web.server.LocalServerPort;

@EngineForVerdicts
class VerdictListTest {

  @LocalServerPort private int port;
  @Autowired private ProcessEngine engine;

  private Steps steps;

  @BeforeEach
  void deploy() {
    steps = new Steps(engine, EngineCaller.anonymous(port));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "", "null", "7", "[]", "{}", "{\"verdicts\":null}", "{\"verdicts\":{}}", "{\"verdicts\":\"all\"}",
        "{\"verdicts\":[]}", "{\"verdicts\":[", "no json",
      })
  void refusesABodyThatIsNoList(String body) {
    assertIsRefused(steps.post(body));
  }

  static Stream<String> itemsThatAreNone() {
    return Stream.of(
        "null",
        "7",
        "[]",
        "{}",
        "{'verb':'complete','workerId':'w'}",
        "{'externalTaskId':null,'verb':'complete'}",
        "{'externalTaskId':'','verb':'complete'}",
        "{'externalTaskId':7,'verb':'complete'}",
        "{'externalTaskId':'nope'}",
        "{'externalTaskId':'nope','verb':null}",
        "{'externalTaskId':'nope','verb':'unlock'}",
        "{'externalTaskId':'nope','verb':'Complete'}");
  }

  @ParameterizedTest
  @MethodSource("itemsThatAreNone")
  void carriesOutNothingOfAListWithAnItemThatIsNone(String item) {
    LockedExternalTask step = steps.one();

    HttpResponse<String> answer =
        steps.post("{\"verdicts\":[" + Steps.completion(step) + "," + item.replace('\'', '"') + "]}");

    assertIsRefused(answer);
    assertThat(answer.body()).contains("verdicts[1]").contains("nothing was carried out");
    assertThat(steps.hasEnded(step)).isFalse();
  }

  @Test
  void carriesOutNothingOfAListThatIsTooLong() {
    LockedExternalTask step = steps.one();

    HttpResponse<String> answer =
        steps.post("{\"verdicts\":[" + String.join(",", Collections.nCopies(51, Steps.completion(step))) + "]}");

    assertIsRefused(answer);
    assertThat(answer.body()).contains("1 to 50").contains("51");
    assertThat(steps.hasEnded(step)).isFalse();
  }

  private static void assertIsRefused(HttpResponse<String> answer) {
    assertThat(answer.statusCode()).isEqualTo(400);
    assertThat(Steps.read(answer.body()).get("type").asText()).isEqualTo("InvalidRequestException");
  }
}
