package io.procos.engine;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.rest.sub.externaltask.impl.ExternalTaskResourceImpl;

/** What a caller says of one external task: the task, the verb, and the fields that the single call has in its body. */
record Verdict(String externalTaskId, Verb verb, JsonNode fields) {

  /** Does what the single call does, by the very class that answers it, in the transaction that is open. */
  void carryOut(ProcessEngine engine, ObjectMapper mapper) {
    verb.carryOut(new ExternalTaskResourceImpl(engine, externalTaskId, mapper), fields, mapper);
  }
}
