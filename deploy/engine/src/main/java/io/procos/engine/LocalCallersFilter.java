package io.procos.engine;

import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.URI;
import java.util.regex.Pattern;
import org.springframework.web.filter.OncePerRequestFilter;

/**
 * Turns away what a web page of somebody else sends to the open engine through the browser of this host.
 *
 * <p>Without users, listening on loopback is the only fence, and a browser is behind it: a foreign page could post a
 * deployment, or point its own name at this host. Both show in the Host or the Origin of the request.
 */
final class LocalCallersFilter extends OncePerRequestFilter {

  private static final Pattern LOCAL = Pattern.compile("localhost|127(\\.\\d{1,3}){3}|\\[?(::1|0:0:0:0:0:0:0:1)\\]?");

  private final String address;

  LocalCallersFilter(String address) {
    this.address = address;
  }

  @Override
  protected void doFilterInternal(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
      throws ServletException, IOException {
    if (isLocal(request.getServerName()) && comesFromHere(request.getHeader("Origin"))) {
      chain.doFilter(request, response);
      return;
    }
    response.setStatus(HttpServletResponse.SC_FORBIDDEN);
    response.setContentType("application/json");
    response
        .getWriter()
        .write(
            "{\"type\":\"ForbiddenException\",\"message\":\"This engine has no users and answers callers of this host"
                + " only: call it as localhost, or set PROCOS_ENGINE_USER and PROCOS_ENGINE_PASSWORD.\"}");
  }

  private boolean comesFromHere(String origin) {
    if (origin == null) {
      return true;
    }
    try {
      return isLocal(URI.create(origin).getHost());
    } catch (IllegalArgumentException malformed) {
      return false;
    }
  }

  private boolean isLocal(String host) {
    return host != null && (LOCAL.matcher(host).matches() || host.equalsIgnoreCase(address));
  }
}
