package io.procos.engine;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import jakarta.ws.rs.core.Response;
import org.camunda.bpm.engine.rest.exception.ExceptionHandlerHelper;

/** Gives for each verdict what the single call would have answered: its status, and its body beside it. */
final class VerdictAnswers {

  private static final String STATUS = "status";

  private final ObjectMapper mapper;

  VerdictAnswers(ObjectMapper mapper) {
    this.mapper = mapper;
  }

  /** Answers a verdict that was carried out. */
  ObjectNode done() {
    return mapper.createObjectNode().put(STATUS, Response.Status.NO_CONTENT.getStatusCode());
  }

  /** Answers a verdict that was not, in the words of the REST API. */
  ObjectNode failed(Throwable failure) {
    Response single = ExceptionHandlerHelper.getInstance().getResponse(failure);
    ObjectNode answer = mapper.createObjectNode().put(STATUS, single.getStatus());
    answer.setAll(mapper.<ObjectNode>valueToTree(single.getEntity()));
    return answer;
  }
}
