package io.procos.engine;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.impl.cfg.ProcessEngineConfigurationImpl;
import org.camunda.bpm.engine.impl.interceptor.CommandExecutor;
import org.springframework.transaction.CannotCreateTransactionException;

/**
 * Carries out a list of verdicts in one transaction, or, when that fails for whatever reason, each in one of its own.
 *
 * <p>So a verdict that cannot be carried out gets its own answer, and costs its neighbours time and nothing else.
 */
final class VerdictClerk {

  private final ProcessEngine engine;
  private final ObjectMapper mapper;
  private final CommandExecutor transactions;
  private final VerdictAnswers answers;

  VerdictClerk(ProcessEngine engine, ObjectMapper mapper) {
    this.engine = engine;
    this.mapper = mapper;
    this.transactions =
        ((ProcessEngineConfigurationImpl) engine.getProcessEngineConfiguration()).getCommandExecutorTxRequired();
    this.answers = new VerdictAnswers(mapper);
  }

  /** Carries out the list and gives an answer for each verdict, in their order. */
  List<ObjectNode> carryOut(List<Verdict> verdicts) {
    List<ObjectNode> given = new ArrayList<>();
    try {
      // A lone verdict has nobody to share a transaction with, and would only be tried twice.
      if (verdicts.size() > 1 && areDoneTogether(verdicts)) {
        return filled(given, answers.done(), verdicts.size());
      }
      return oneByOne(verdicts, given);
    } catch (CannotCreateTransactionException unreachable) {
      // It takes seconds to find out that the database is gone: the rest is not made to wait for the same.
      return filled(given, answers.failed(unreachable), verdicts.size());
    }
  }

  private boolean areDoneTogether(List<Verdict> verdicts) {
    try {
      transactions.execute(new JointVerdicts(verdicts, engine, mapper));
      return true;
    } catch (CannotCreateTransactionException unreachable) {
      throw unreachable;
    } catch (Exception | LinkageError | StackOverflowError failed) {
      // Whatever it was is said to the one it belongs to, when each is on its own.
      return false;
    }
  }

  private List<ObjectNode> oneByOne(List<Verdict> verdicts, List<ObjectNode> given) {
    for (Verdict verdict : verdicts) {
      given.add(onItsOwn(verdict));
    }
    return given;
  }

  private ObjectNode onItsOwn(Verdict verdict) {
    try {
      verdict.carryOut(engine, mapper);
      return answers.done();
    } catch (CannotCreateTransactionException unreachable) {
      throw unreachable;
    } catch (Exception | LinkageError | StackOverflowError failed) {
      // A model may run any code after a step, and the REST API has an answer for all that it throws.
      return answers.failed(failed);
    }
  }

  private static List<ObjectNode> filled(List<ObjectNode> given, ObjectNode answer, int size) {
    while (given.size() < size) {
      given.add(answer);
    }
    return given;
  }
}
