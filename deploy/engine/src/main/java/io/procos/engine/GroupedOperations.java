package io.procos.engine;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.camunda.bpm.engine.impl.db.entitymanager.operation.DbBulkOperation;
import org.camunda.bpm.engine.impl.db.entitymanager.operation.DbOperation;
import org.camunda.bpm.engine.impl.db.entitymanager.operation.DbOperationManager;
import org.camunda.bpm.engine.impl.db.entitymanager.operation.DbOperationType;

/**
 * Brings the updates that many ending instances leave for the end of their common transaction into groups.
 *
 * <p>Each instance that ends writes its removal time into ten tables of the history. One instance after another, these
 * are ten statements each; table after table, the driver sends each statement once, with all instances behind it.
 */
final class GroupedOperations extends DbOperationManager {

  @Override
  public List<DbOperation> calculateFlush() {
    if (bulkOperationsInsertionOrder.stream().allMatch(GroupedOperations::isUpdate)) {
      List<DbBulkOperation> grouped = grouped();
      bulkOperationsInsertionOrder.clear();
      bulkOperationsInsertionOrder.addAll(grouped);
    }
    return super.calculateFlush();
  }

  private static boolean isUpdate(DbBulkOperation operation) {
    // A deletion may have to wait for what refers to the row; the updates set removal times, in any order.
    return operation.getOperationType() == DbOperationType.UPDATE_BULK;
  }

  private List<DbBulkOperation> grouped() {
    Map<String, List<DbBulkOperation>> byStatement = new LinkedHashMap<>();
    for (DbBulkOperation operation : bulkOperationsInsertionOrder) {
      byStatement.computeIfAbsent(operation.getStatement(), statement -> new ArrayList<>()).add(operation);
    }
    return byStatement.values().stream().flatMap(List::stream).toList();
  }
}
