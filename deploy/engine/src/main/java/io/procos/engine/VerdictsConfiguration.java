package io.procos.engine;

import com.fasterxml.jackson.databind.ObjectMapper;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.rest.mapper.JacksonConfigurator;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.autoconfigure.jersey.ResourceConfigCustomizer;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** Adds the list of verdicts to the REST API of the engine, whose own resources stay as they are. */
@Configuration(proxyBeanMethods = false)
@ConditionalOnProperty(name = EngineEnvironment.TAKES_VERDICT_LISTS, havingValue = "true")
class VerdictsConfiguration {

  @Bean
  ResourceConfigCustomizer verdicts() {
    return rest -> rest.register(VerdictsResource.class);
  }

  @Bean
  VerdictList verdictList() {
    return new VerdictList(mapper());
  }

  @Bean
  VerdictClerk verdictClerk(ProcessEngine engine) {
    return new VerdictClerk(engine, mapper());
  }

  private static ObjectMapper mapper() {
    // Set up as the engine sets up its own, so that a field means the same here as in a single call.
    return JacksonConfigurator.configureObjectMapper(new ObjectMapper());
  }
}
