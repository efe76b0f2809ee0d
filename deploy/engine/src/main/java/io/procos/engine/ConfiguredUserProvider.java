package io.procos.engine;

import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.List;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.authorization.Groups;
import org.camunda.bpm.engine.rest.security.auth.AuthenticationProvider;
import org.camunda.bpm.engine.rest.security.auth.AuthenticationResult;

/**
 * Lets in the one user of the settings by HTTP basic authentication.
 *
 * <p>Compared in memory: the engine's own provider asks the database several times in each call, and would go on
 * letting in a user that has been renamed in the settings.
 */
final class ConfiguredUserProvider implements AuthenticationProvider {

  private static final String SCHEME = "Basic ";

  private final String user;
  private final byte[] expected;

  ConfiguredUserProvider(String user, String password) {
    this.user = user;
    this.expected = (user + ":" + password).getBytes(StandardCharsets.UTF_8);
  }

  @Override
  public AuthenticationResult extractAuthenticatedUser(HttpServletRequest request, ProcessEngine engine) {
    if (!MessageDigest.isEqual(expected, credentials(request.getHeader("Authorization")))) {
      return AuthenticationResult.unsuccessful();
    }
    AuthenticationResult result = AuthenticationResult.successful(user);
    // Given here, because the filter would ask the database for them otherwise.
    result.setGroups(List.of(Groups.CAMUNDA_ADMIN));
    result.setTenants(List.of());
    return result;
  }

  @Override
  public void augmentResponseByAuthenticationChallenge(HttpServletResponse response, ProcessEngine engine) {
    response.setHeader("WWW-Authenticate", "Basic realm=\"" + engine.getName() + "\", charset=\"UTF-8\"");
  }

  private static byte[] credentials(String header) {
    if (header == null || !header.regionMatches(true, 0, SCHEME, 0, SCHEME.length())) {
      return new byte[0];
    }
    try {
      return Base64.getDecoder().decode(header.substring(SCHEME.length()).trim());
    } catch (IllegalArgumentException malformed) {
      return new byte[0];
    }
  }
}
