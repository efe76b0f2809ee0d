package io.procos.engine;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.ws.rs.core.Response.Status;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import org.camunda.bpm.engine.rest.exception.InvalidRequestException;

/**
 * Reads the body of a call as a list of verdicts, or refuses all of it before anything is carried out.
 *
 * <p>Only what tells which task is meant, and what to do, is looked at here. Whatever is wrong in the fields beside is
 * the answer to that one item.
 */
final class VerdictList {

  /** A longer list would hold its rows and its connection long enough for others to notice, and gains nothing. */
  static final int LONGEST = 50;

  private final ObjectMapper mapper;

  VerdictList(ObjectMapper mapper) {
    this.mapper = mapper;
  }

  /** Gives the verdicts of a body, or refuses it with 400. */
  List<Verdict> read(InputStream body) throws IOException {
    JsonNode items = parsed(body).path("verdicts");
    if (!items.isArray()) {
      throw refusal("expected {\"verdicts\": [...]}");
    }
    if (items.isEmpty() || items.size() > LONGEST) {
      throw refusal("expected 1 to " + LONGEST + " verdicts, got " + items.size());
    }
    List<Verdict> verdicts = new ArrayList<>();
    for (JsonNode item : items) {
      verdicts.add(verdict(item, verdicts.size()));
    }
    return verdicts;
  }

  private JsonNode parsed(InputStream body) throws IOException {
    try {
      return mapper.readTree(body);
    } catch (JsonProcessingException malformed) {
      throw refusal("the body is not JSON");
    }
  }

  private static Verdict verdict(JsonNode item, int position) {
    String id = text(item, "externalTaskId", position);
    String name = text(item, "verb", position);
    Verb verb = Verb.named(name).orElseThrow(() -> refusal(at(position) + "verb: expected one of " + Verb.names()));
    return new Verdict(id, verb, item);
  }

  private static String text(JsonNode item, String field, int position) {
    JsonNode value = item.get(field);
    if (value == null || !value.isTextual() || value.textValue().isBlank()) {
      throw refusal(at(position) + field + " is missing");
    }
    return value.textValue();
  }

  private static String at(int position) {
    return "verdicts[" + position + "]: ";
  }

  private static InvalidRequestException refusal(String reason) {
    return new InvalidRequestException(Status.BAD_REQUEST, reason + "; nothing was carried out");
  }
}
