package io.procos.engine;

import com.fasterxml.jackson.databind.node.ObjectNode;
import jakarta.inject.Inject;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;
import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import java.util.Map;

/**
 * Takes the verdicts on up to fifty external tasks in one call: done, failed, or a BPMN error.
 *
 * <p>The engine's own API takes one a call, and a transaction for each is most of what a task costs it. The list is
 * read by {@link VerdictList} and carried out by {@link VerdictClerk}.
 */
@Path("/procos/verdicts")
@Consumes(MediaType.APPLICATION_JSON)
@Produces(MediaType.APPLICATION_JSON)
public class VerdictsResource {

  private final VerdictList list;
  private final VerdictClerk clerk;

  @Inject
  VerdictsResource(VerdictList list, VerdictClerk clerk) {
    this.list = list;
    this.clerk = clerk;
  }

  /** Carries out the list and gives an answer for each of its items, in their order. */
  @POST
  public Map<String, List<ObjectNode>> carryOut(InputStream body) throws IOException {
    return Map.of("answers", clerk.carryOut(list.read(body)));
  }
}
