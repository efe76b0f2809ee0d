package io.procos.engine;

import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.impl.cfg.ProcessEngineConfigurationImpl;
import org.springframework.boot.autoconfigure.web.servlet.JerseyApplicationPath;
import org.springframework.boot.web.servlet.FilterRegistrationBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** Announces how the engine treats a BPMN error nobody catches, as it is set up at this moment. */
@Configuration(proxyBeanMethods = false)
class UncaughtErrorsConfiguration {

  @Bean
  FilterRegistrationBean<UncaughtErrorsFilter> uncaughtErrors(JerseyApplicationPath rest, ProcessEngine engine) {
    FilterRegistrationBean<UncaughtErrorsFilter> registration =
        new FilterRegistrationBean<>(new UncaughtErrorsFilter());
    registration.addUrlPatterns(rest.getUrlMapping());
    registration.setAsyncSupported(true);
    // Asked of the engine rather than of the settings, so that the header never says what is not so.
    registration.setEnabled(
        ((ProcessEngineConfigurationImpl) engine.getProcessEngineConfiguration())
            .isEnableExceptionsAfterUnhandledBpmnError());
    return registration;
  }
}
