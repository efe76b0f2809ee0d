package io.procos.engine;

import java.util.HashMap;
import java.util.Map;
import java.util.UUID;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.env.EnvironmentPostProcessor;
import org.springframework.core.env.ConfigurableEnvironment;
import org.springframework.core.env.MapPropertySource;

/**
 * Turns the settings of the installation into Spring's and the engine's own, before any bean exists.
 *
 * <p>Runs after application.yaml is read; what is said explicitly in Spring's own names wins.
 */
public class EngineEnvironment implements EnvironmentPostProcessor {

  /** The user Cockpit works as where nobody has to log in. */
  static final String LOCAL_USER = "admin";

  /** The property that says whether verdicts are taken in lists; unlike the setting it is never empty. */
  static final String TAKES_VERDICT_LISTS = "procos.engine.takes-verdict-lists";

  @Override
  public void postProcessEnvironment(ConfigurableEnvironment environment, SpringApplication application) {
    EngineSettings settings = EngineSettings.from(environment);
    environment.getPropertySources().addLast(new MapPropertySource("procos", properties(settings)));
    // Asked of the environment, since Spring's own server.address is the one that is bound.
    settings.checkReach(environment.getRequiredProperty("server.address"));
  }

  private static Map<String, Object> properties(EngineSettings settings) {
    Map<String, Object> properties = new HashMap<>();
    properties.put("server.port", settings.port());
    properties.put("server.address", settings.address());
    properties.put("spring.datasource.url", settings.database().jdbcUrl());
    properties.put("spring.datasource.username", settings.database().user());
    properties.put("spring.datasource.password", settings.database().password());
    properties.put("procos.engine.database", settings.database().printable());
    properties.put("procos.engine.authentication", settings.needsAuthentication());
    properties.put(TAKES_VERDICT_LISTS, settings.bulkVerdicts());
    properties.put("camunda.bpm.admin-user.id", settings.needsAuthentication() ? settings.user() : LOCAL_USER);
    properties.put("camunda.bpm.admin-user.password", adminPassword(settings));
    return properties;
  }

  private static String adminPassword(EngineSettings settings) {
    // Nobody needs to know the local one: Cockpit opens without a login there.
    return settings.needsAuthentication() ? settings.password() : UUID.randomUUID().toString();
  }
}
