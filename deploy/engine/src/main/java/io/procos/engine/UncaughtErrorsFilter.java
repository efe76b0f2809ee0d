package io.procos.engine;

import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import org.springframework.web.filter.OncePerRequestFilter;

/**
 * Tells REST callers that this engine refuses a BPMN error nobody catches, which a stock engine swallows.
 *
 * <p>A bridge that reads this header need not look into the model before it throws an error.
 */
final class UncaughtErrorsFilter extends OncePerRequestFilter {

  static final String HEADER = "ProcOS-Refuses-Uncaught-Errors";

  @Override
  protected void doFilterInternal(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
      throws ServletException, IOException {
    response.setHeader(HEADER, "true");
    chain.doFilter(request, response);
  }
}
