package io.procos.engine;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.ws.rs.core.Response.Status;
import java.util.Arrays;
import java.util.Optional;
import java.util.function.BiConsumer;
import java.util.stream.Collectors;
import org.camunda.bpm.engine.rest.dto.externaltask.CompleteExternalTaskDto;
import org.camunda.bpm.engine.rest.dto.externaltask.ExternalTaskBpmnError;
import org.camunda.bpm.engine.rest.dto.externaltask.ExternalTaskFailureDto;
import org.camunda.bpm.engine.rest.exception.InvalidRequestException;
import org.camunda.bpm.engine.rest.sub.externaltask.ExternalTaskResource;

/** What can be said of an external task, each named after the last part of the path of its single call. */
enum Verb {
  COMPLETE("complete", CompleteExternalTaskDto.class, ExternalTaskResource::complete),
  FAILURE("failure", ExternalTaskFailureDto.class, ExternalTaskResource::handleFailure),
  BPMN_ERROR("bpmnError", ExternalTaskBpmnError.class, ExternalTaskResource::handleBpmnError);

  private final String path;
  private final Call<?> call;

  <T> Verb(String path, Class<T> body, BiConsumer<ExternalTaskResource, T> method) {
    this.path = path;
    this.call = new Call<>(body, method);
  }

  /** Finds the verb of a name. */
  static Optional<Verb> named(String name) {
    return Arrays.stream(values()).filter(verb -> verb.path.equals(name)).findFirst();
  }

  /** Gives the names of all verbs, for people. */
  static String names() {
    return Arrays.stream(values()).map(verb -> verb.path).collect(Collectors.joining(", "));
  }

  /** Calls the task's own resource with the fields as the body. */
  void carryOut(ExternalTaskResource task, JsonNode fields, ObjectMapper mapper) {
    call.carryOut(task, fields, mapper);
  }

  private record Call<T>(Class<T> body, BiConsumer<ExternalTaskResource, T> method) {

    void carryOut(ExternalTaskResource task, JsonNode fields, ObjectMapper mapper) {
      method.accept(task, read(fields, mapper));
    }

    private T read(JsonNode fields, ObjectMapper mapper) {
      try {
        return mapper.treeToValue(fields, body);
      } catch (JsonProcessingException unreadable) {
        // What the single call answers to a body it cannot read.
        throw new InvalidRequestException(Status.BAD_REQUEST, unreadable, "");
      }
    }
  }
}
