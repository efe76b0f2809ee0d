package io.procos.engine;

import jakarta.servlet.Filter;
import jakarta.servlet.FilterConfig;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.util.List;
import org.camunda.bpm.engine.IdentityService;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.authorization.Groups;
import org.camunda.bpm.engine.identity.User;
import org.camunda.bpm.engine.rest.security.auth.AuthenticationProvider;
import org.camunda.bpm.engine.rest.security.auth.AuthenticationResult;
import org.camunda.bpm.engine.rest.security.auth.ProcessEngineAuthenticationFilter;
import org.camunda.bpm.webapp.impl.security.auth.ContainerBasedAuthenticationFilter;
import org.springframework.beans.factory.SmartInitializingSingleton;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.autoconfigure.web.servlet.JerseyApplicationPath;
import org.springframework.boot.web.servlet.FilterRegistrationBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.Ordered;

/**
 * Decides who may call: the one user of the settings, or, where none is set, every program of this host.
 *
 * <p>{@link EngineEnvironment} has made sure that the second case is a loopback address.
 */
@Configuration(proxyBeanMethods = false)
class AccessConfiguration {

  private static final String AUTHENTICATION = "procos.engine.authentication";

  /** Asks REST callers for the user of the settings; parked polls stay possible, as the filter is asynchronous. */
  @Bean
  @ConditionalOnProperty(name = AUTHENTICATION, havingValue = "true")
  FilterRegistrationBean<Filter> restAuthentication(
      JerseyApplicationPath rest,
      @Value("${camunda.bpm.admin-user.id}") String user,
      @Value("${camunda.bpm.admin-user.password}") String password) {
    AuthenticationProvider provider = new ConfiguredUserProvider(user, password);
    return registered(
        new ProcessEngineAuthenticationFilter() {
          @Override
          public void init(FilterConfig config) {
            authenticationProvider = provider;
          }
        },
        rest.getUrlMapping());
  }

  /** Gives the user of the settings the password of the settings, which may be a new one since the last start. */
  @Bean
  @ConditionalOnProperty(name = AUTHENTICATION, havingValue = "true")
  SmartInitializingSingleton currentPassword(
      ProcessEngine engine,
      @Value("${camunda.bpm.admin-user.id}") String user,
      @Value("${camunda.bpm.admin-user.password}") String password) {
    return () -> {
      IdentityService identities = engine.getIdentityService();
      User stored = identities.createUserQuery().userId(user).singleResult();
      stored.setPassword(password);
      identities.saveUser(stored);
      identities.unlockUser(user);
    };
  }

  /** Turns away what foreign web pages send through a browser of this host. */
  @Bean
  @ConditionalOnProperty(name = AUTHENTICATION, havingValue = "false")
  FilterRegistrationBean<Filter> localCallers(@Value("${server.address}") String address) {
    FilterRegistrationBean<Filter> registration = registered(new LocalCallersFilter(address), "/*");
    registration.setOrder(Ordered.HIGHEST_PRECEDENCE);
    return registration;
  }

  /** Opens Cockpit without a login where REST is open anyway. */
  @Bean
  @ConditionalOnProperty(name = AUTHENTICATION, havingValue = "false")
  FilterRegistrationBean<Filter> openCockpit(@Value("${camunda.bpm.webapp.application-path:/camunda}") String path) {
    return registered(
        new ContainerBasedAuthenticationFilter() {
          @Override
          public void init(FilterConfig config) {
            authenticationProvider = new LocalUserProvider();
          }
        },
        path + "/app/*",
        path + "/api/*");
  }

  private static FilterRegistrationBean<Filter> registered(Filter filter, String... patterns) {
    FilterRegistrationBean<Filter> registration = new FilterRegistrationBean<>(filter);
    registration.addUrlPatterns(patterns);
    registration.setAsyncSupported(true);
    return registration;
  }

  /** Takes every caller for the local administrator. */
  private static final class LocalUserProvider implements AuthenticationProvider {

    @Override
    public AuthenticationResult extractAuthenticatedUser(HttpServletRequest request, ProcessEngine engine) {
      AuthenticationResult result = AuthenticationResult.successful(EngineEnvironment.LOCAL_USER);
      result.setGroups(List.of(Groups.CAMUNDA_ADMIN));
      result.setTenants(List.of());
      return result;
    }

    @Override
    public void augmentResponseByAuthenticationChallenge(HttpServletResponse response, ProcessEngine engine) {
      // Nobody is ever challenged here.
    }
  }
}
