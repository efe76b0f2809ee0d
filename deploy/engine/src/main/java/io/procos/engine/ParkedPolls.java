package io.procos.engine;

import org.camunda.bpm.engine.rest.impl.FetchAndLockContextListener;
import org.camunda.bpm.engine.rest.spi.FetchAndLockHandler;
import org.springframework.context.event.ContextClosedEvent;
import org.springframework.context.event.EventListener;
import org.springframework.stereotype.Component;

/**
 * Ends the parked long polls as soon as the engine is told to stop.
 *
 * <p>Spring then waits for the calls that are at work, such as a completion, and no longer for polls that only wait.
 */
@Component
class ParkedPolls {

  @EventListener
  void endAll(ContextClosedEvent event) {
    FetchAndLockHandler handler = FetchAndLockContextListener.getFetchAndLockHandler();
    // There is none yet when the start itself failed.
    if (handler != null) {
      handler.shutdown();
    }
  }
}
