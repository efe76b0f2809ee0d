package io.procos.engine;

import static org.assertj.core.api.Assertions.assertThat;

import org.camunda.bpm.engine.impl.db.entitymanager.operation.DbBulkOperation;
import org.camunda.bpm.engine.impl.db.entitymanager.operation.DbOperation;
import org.camunda.bpm.engine.impl.db.entitymanager.operation.DbOperationType;
import org.camunda.bpm.engine.impl.history.event.HistoricActivityInstanceEventEntity;
import org.junit.jupiter.api.Test;

class GroupedOperationsTest {

  private final GroupedOperations operations = new GroupedOperations();

  @Test
  void bringsTheSameUpdateOfManyInstancesTogether() {
    DbOperation activitiesOfOne = added(DbOperationType.UPDATE_BULK, "activities", "one");
    DbOperation variablesOfOne = added(DbOperationType.UPDATE_BULK, "variables", "one");
    DbOperation activitiesOfTwo = added(DbOperationType.UPDATE_BULK, "activities", "two");
    DbOperation variablesOfTwo = added(DbOperationType.UPDATE_BULK, "variables", "two");

    assertThat(operations.calculateFlush())
        .containsExactly(activitiesOfOne, activitiesOfTwo, variablesOfOne, variablesOfTwo);
  }

  @Test
  void leavesTheOrderWhereSomethingIsDeleted() {
    DbOperation activitiesOfOne = added(DbOperationType.UPDATE_BULK, "activities", "one");
    DbOperation deletion = added(DbOperationType.DELETE_BULK, "variables", "one");
    DbOperation activitiesOfTwo = added(DbOperationType.UPDATE_BULK, "activities", "two");

    assertThat(operations.calculateFlush()).containsExactly(activitiesOfOne, deletion, activitiesOfTwo);
  }

  private DbOperation added(DbOperationType type, String statement, String parameter) {
    DbBulkOperation operation =
        new DbBulkOperation(type, HistoricActivityInstanceEventEntity.class, statement, parameter);
    operations.addOperationPreserveOrder(operation);
    return operation;
  }
}
