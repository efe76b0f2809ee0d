package io.procos.engine;

import org.springframework.boot.ExitCodeGenerator;

/** A setting that is wrong or unsafe: the engine has touched nothing yet, and the message names the cure. */
public class StartRefusedException extends RuntimeException implements ExitCodeGenerator {

  private static final int CONFIGURATION_ERROR = 2;

  /** Makes a refusal whose message is one line for the person who set the setting. */
  public StartRefusedException(String message) {
    super(message);
  }

  @Override
  public int getExitCode() {
    return CONFIGURATION_ERROR;
  }
}
