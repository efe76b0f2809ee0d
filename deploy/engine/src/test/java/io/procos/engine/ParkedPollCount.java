package io.procos.engine;

import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.List;
import org.camunda.bpm.engine.rest.impl.FetchAndLockContextListener;
import org.springframework.test.util.ReflectionTestUtils;

/** Tells how many long polls the engine that started last has parked. */
final class ParkedPollCount {

  private ParkedPollCount() {}

  static void awaitOne() {
    await().atMost(Duration.ofSeconds(20)).until(() -> current() == 1);
  }

  private static int current() {
    // Read from its inside, because the engine tells nobody.
    Object handler = FetchAndLockContextListener.getFetchAndLockHandler();
    return ((List<?>) ReflectionTestUtils.getField(handler, "pendingRequests")).size();
  }
}
