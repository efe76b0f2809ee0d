package io.procos.engine;

import java.util.HashMap;
import java.util.Map;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.impl.cfg.ProcessEngineConfigurationImpl;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.web.servlet.JerseyApplicationPath;
import org.springframework.boot.web.servlet.FilterRegistrationBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.Ordered;

/** Announces what this engine can do beyond a stock engine, as it is set up at this moment. */
@Configuration(proxyBeanMethods = false)
class CapabilitiesConfiguration {

  @Bean
  FilterRegistrationBean<CapabilitiesFilter> capabilities(
      JerseyApplicationPath rest,
      ProcessEngine engine,
      @Value("${" + EngineEnvironment.TAKES_VERDICT_LISTS + "}") boolean takesVerdictLists) {
    FilterRegistrationBean<CapabilitiesFilter> registration =
        new FilterRegistrationBean<>(new CapabilitiesFilter(headers(engine, takesVerdictLists)));
    registration.addUrlPatterns(rest.getUrlMapping());
    registration.setAsyncSupported(true);
    // Before the filter that asks for credentials: a caller without them is no sign that the engine is another.
    registration.setOrder(Ordered.HIGHEST_PRECEDENCE + 1);
    return registration;
  }

  private static Map<String, String> headers(ProcessEngine engine, boolean takesVerdictLists) {
    Map<String, String> headers = new HashMap<>();
    if (refusesUncaughtErrors(engine)) {
      headers.put(CapabilitiesFilter.REFUSES_UNCAUGHT_ERRORS, "true");
    }
    if (takesVerdictLists) {
      headers.put(CapabilitiesFilter.VERDICTS, String.valueOf(VerdictList.LONGEST));
    }
    return headers;
  }

  private static boolean refusesUncaughtErrors(ProcessEngine engine) {
    // Asked of the engine rather than of the settings, so that the header never says what is not so.
    return ((ProcessEngineConfigurationImpl) engine.getProcessEngineConfiguration())
        .isEnableExceptionsAfterUnhandledBpmnError();
  }
}
