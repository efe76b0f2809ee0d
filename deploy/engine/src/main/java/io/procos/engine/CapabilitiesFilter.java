package io.procos.engine;

import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Map;
import org.springframework.web.filter.OncePerRequestFilter;

/**
 * Tells REST callers in headers what this engine can do and a stock engine cannot.
 *
 * <p>A caller sees it in any answer it gets anyway, also after the engine has been exchanged for another.
 */
final class CapabilitiesFilter extends OncePerRequestFilter {

  /** Present where a BPMN error nobody catches is refused: a bridge need not look into the model before it throws one. */
  static final String REFUSES_UNCAUGHT_ERRORS = "ProcOS-Refuses-Uncaught-Errors";

  /** Present where verdicts are taken in lists, see {@link VerdictsResource}; its value is the longest list. */
  static final String VERDICTS = "ProcOS-Verdicts";

  private final Map<String, String> headers;

  CapabilitiesFilter(Map<String, String> headers) {
    this.headers = Map.copyOf(headers);
  }

  @Override
  protected void doFilterInternal(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
      throws ServletException, IOException {
    headers.forEach(response::setHeader);
    chain.doFilter(request, response);
  }
}
