package io.procos.engine;

import java.net.BindException;
import java.sql.SQLException;
import org.springframework.boot.SpringBootExceptionReporter;
import org.springframework.boot.web.server.PortInUseException;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;

/** Says in one line why the engine did not start, for the causes a person can cure; the others keep their trace. */
@Order(Ordered.HIGHEST_PRECEDENCE)
public class StartFailureReporter implements SpringBootExceptionReporter {

  private final ConfigurableApplicationContext context;

  /** Takes the context that failed, or null where it failed before there was one. */
  public StartFailureReporter(ConfigurableApplicationContext context) {
    this.context = context;
  }

  @Override
  public boolean reportException(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      String reason = reason(cause);
      if (reason != null) {
        System.err.println("procos engine: not started: " + reason);
        return true;
      }
    }
    return false;
  }

  private String reason(Throwable cause) {
    if (cause instanceof StartRefusedException refusal) {
      return refusal.getMessage();
    }
    if (cause instanceof PortInUseException taken) {
      return "port " + taken.getPort() + " is taken: stop the program that holds it, or set PROCOS_ENGINE_PORT";
    }
    if (cause instanceof BindException refused) {
      return "PROCOS_ENGINE_ADDRESS cannot be bound: " + refused.getMessage() + "; set an address of this host";
    }
    if (cause instanceof SQLException failed) {
      return databaseReason(failed);
    }
    return null;
  }

  private String databaseReason(SQLException failed) {
    String where = context == null ? "" : context.getEnvironment().getProperty("procos.engine.database", "");
    String what = String.valueOf(failed.getMessage()).lines().findFirst().orElse("no reason given").replaceFirst("\\.$", "");
    return "the database (" + where + ") cannot be used: " + what
        + "; check that it runs, PROCOS_ENGINE_DB_URL, PROCOS_ENGINE_DB_USER and PROCOS_ENGINE_DB_PASSWORD";
  }
}
