package io.procos.engine;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.context.event.ApplicationReadyEvent;
import org.springframework.context.event.EventListener;
import org.springframework.core.env.Environment;
import org.springframework.stereotype.Component;

/** Says in the log that the engine serves, where, on which database, and after how long. */
@Component
class ReadyLine {

  private static final Logger LOG = LoggerFactory.getLogger("io.procos.engine");

  private final Environment environment;

  ReadyLine(Environment environment) {
    this.environment = environment;
  }

  @EventListener
  void say(ApplicationReadyEvent event) {
    LOG.info(
        "ready after {} ms: http://{}:{}/engine-rest, Cockpit at /camunda/app/cockpit/, database {}, authentication {}",
        event.getTimeTaken().toMillis(),
        printed(environment.getRequiredProperty("server.address")),
        environment.getProperty("local.server.port"),
        environment.getProperty("procos.engine.database"),
        environment.getProperty("procos.engine.authentication", Boolean.class, false) ? "on" : "off");
  }

  private static String printed(String address) {
    return address.contains(":") ? "[" + address + "]" : address;
  }
}
