package io.procos.engine;

import java.util.TimeZone;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/**
 * The process engine as one program: Camunda 7 with REST, Cockpit and the Json and Xml variable types.
 *
 * <p>{@link EngineEnvironment} turns PROCOS_ENGINE_* into Spring's settings before anything starts, {@link
 * AccessConfiguration} decides who may call, and application.yaml says how the engine behaves.
 */
@SpringBootApplication
public class EngineApplication {

  /** Starts the engine and returns once it serves. */
  public static void main(String[] args) {
    // The database columns hold times without a zone: every node must write them in the same one.
    TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
    SpringApplication.run(EngineApplication.class, args);
  }
}
