package io.procos.engine;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.List;
import org.camunda.bpm.engine.BadUserRequestException;
import org.camunda.bpm.engine.ProcessEngine;
import org.camunda.bpm.engine.impl.db.entitymanager.cache.DbEntityCache;
import org.camunda.bpm.engine.impl.interceptor.Command;
import org.camunda.bpm.engine.impl.interceptor.CommandContext;
import org.camunda.bpm.engine.impl.persistence.entity.ExternalTaskEntity;

/**
 * One command of the engine in which all verdicts of a list are carried out, or none.
 *
 * <p>The engine's services join the command they are called in: its transaction, its caller, and its view of what the
 * verdicts before have changed, so that branches of one instance meet as if they had been reported one after another.
 */
final class JointVerdicts implements Command<Void> {

  private final List<Verdict> verdicts;
  private final ProcessEngine engine;
  private final ObjectMapper mapper;

  JointVerdicts(List<Verdict> verdicts, ProcessEngine engine, ObjectMapper mapper) {
    this.verdicts = verdicts;
    this.engine = engine;
    this.mapper = mapper;
  }

  @Override
  public Void execute(CommandContext context) {
    context.getDbEntityManager().setDbOperationManager(new GroupedOperations());
    DbEntityCache changed = context.getDbEntityManager().getDbEntityCache();
    for (Verdict verdict : verdicts) {
      refuseEnded(verdict, changed);
      try {
        verdict.carryOut(engine, mapper);
      } catch (RuntimeException failed) {
        throw new Abandoned(failed);
      }
    }
    return null;
  }

  /** Refuses a task that a verdict before has ended: the engine itself would go on with what it has just deleted. */
  private static void refuseEnded(Verdict verdict, DbEntityCache changed) {
    ExternalTaskEntity task = changed.get(ExternalTaskEntity.class, verdict.externalTaskId());
    if (task != null && changed.isDeleted(task)) {
      throw new Abandoned(null);
    }
  }

  /** Ends the transaction with nothing carried out; of a kind that the engine does not log as an error of its own. */
  private static final class Abandoned extends BadUserRequestException {

    private static final long serialVersionUID = 1L;

    Abandoned(RuntimeException cause) {
      super("the verdicts are carried out one by one", cause);
    }
  }
}
