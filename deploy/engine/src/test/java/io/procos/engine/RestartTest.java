package io.procos.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.camunda.bpm.engine.IdentityService;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.boot.SpringApplication;
import org.springframework.context.ConfigurableApplicationContext;

class RestartTest {

  @TempDir private Path folder;

  @Test
  void takesANewPasswordAndKeepsItsState() {
    try (ConfigurableApplicationContext first = start("--procos.engine.user=ann", "--procos.engine.password=old")) {
      assertThat(identities(first).checkPassword("ann", "old")).isTrue();
    }
    try (ConfigurableApplicationContext second = start("--procos.engine.user=ann", "--procos.engine.password=new")) {
      // In this order: after a wrong password the engine refuses the right one for some seconds.
      assertThat(identities(second).checkPassword("ann", "new")).isTrue();
      assertThat(identities(second).checkPassword("ann", "old")).isFalse();
      assertThat(identities(second).createUserQuery().count()).isEqualTo(1);
    }
  }

  @Test
  void endsParkedPollsWhenItStops() throws Exception {
    CompletableFuture<HttpResponse<String>> poll;
    try (ConfigurableApplicationContext engine = start()) {
      EngineCaller caller =
          EngineCaller.anonymous(engine.getEnvironment().getRequiredProperty("local.server.port", Integer.class));
      poll = CompletableFuture.supplyAsync(() -> poll(caller));
      ParkedPollCount.awaitOne();
    }
    assertThat(poll.get(5, TimeUnit.SECONDS).body()).contains("shutdown");
  }

  @Test
  void refusesToBeOpenToOtherHostsBeforeItTouchesAnything() {
    assertThatThrownBy(() -> start("--procos.engine.address=0.0.0.0")).isInstanceOf(StartRefusedException.class);
    assertThat(folder).isEmptyDirectory();
  }

  @Test
  void refusesItAlsoWhenTheAddressIsGivenInSpringsOwnName() {
    assertThatThrownBy(() -> start("--server.address=0.0.0.0")).isInstanceOf(StartRefusedException.class);
  }

  private static HttpResponse<String> poll(EngineCaller caller) {
    return caller.post(
        "/engine-rest/external-task/fetchAndLock",
        "{\"workerId\":\"w\",\"maxTasks\":1,\"asyncResponseTimeout\":60000,"
            + "\"topics\":[{\"topicName\":\"nothing\",\"lockDuration\":1000}]}");
  }

  private ConfigurableApplicationContext start(String... arguments) {
    SpringApplication application = new SpringApplication(EngineApplication.class);
    application.setDefaultProperties(
        Map.of("procos.engine.data", folder.toString(), "procos.engine.port", "0"));
    return application.run(arguments);
  }

  private static IdentityService identities(ConfigurableApplicationContext context) {
    return context.getBean(IdentityService.class);
  }
}
