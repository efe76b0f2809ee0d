package io.procos.engine;

import java.time.Duration;
import javax.sql.DataSource;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.impl.cfg.ProcessEngineConfigurationImpl;
import org.springframework.beans.factory.SmartInitializingSingleton;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** Has the database ready to give what waits in the order it is fetched in, before anybody can call. */
@Configuration(proxyBeanMethods = false)
class FetchOrderConfiguration {

  private static final String EXTERNAL_TASKS = "ACT_RU_EXT_TASK";

  /** Enough for some millions of rows; a start that takes longer would be taken for one that hangs. */
  private static final Duration LIMIT = Duration.ofSeconds(30);

  /** Takes the engine, since the table is there and up to date only once that is built. */
  @Bean
  SmartInitializingSingleton fetchOrder(DataSource database, ProcessEngine engine) {
    ProcessEngineConfigurationImpl configuration =
        (ProcessEngineConfigurationImpl) engine.getProcessEngineConfiguration();
    FetchOrderIndex index =
        new FetchOrderIndex(database, configuration.getDatabaseTablePrefix() + EXTERNAL_TASKS, LIMIT);
    return index::ensure;
  }
}
