package io.procos.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PostgresUrlTest {

  @ParameterizedTest
  @CsvSource({
    "postgresql://host/engine, jdbc:postgresql://host/engine",
    "postgres://host:5433/engine, jdbc:postgresql://host:5433/engine",
    "POSTGRES://host/engine, jdbc:postgresql://host/engine",
    "postgresql:///engine, jdbc:postgresql://localhost/engine",
    "postgresql://[::1]:5432/engine, jdbc:postgresql://[::1]:5432/engine",
    "'postgresql://a:5432,b:5432/engine', 'jdbc:postgresql://a:5432,b:5432/engine'",
    "postgresql://host/engine?sslmode=require, jdbc:postgresql://host/engine?sslmode=require",
    "postgresql://host/engine?connect_timeout=5&application_name=a%20b,"
        + " jdbc:postgresql://host/engine?connectTimeout=5&ApplicationName=a%20b",
    "postgresql://host/my%20engine, jdbc:postgresql://host/my%20engine",
  })
  void translatesAnAddress(String url, String jdbc) {
    assertThat(Database.at(url).jdbcUrl().replaceFirst("[?&]logServerErrorDetail=false$", "")).isEqualTo(jdbc);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "postgresql://ann:p%40ss+w%2Ford@host/engine",
        "postgresql://ann:p@ss+w%2Ford@host/engine",
        "postgresql://host/engine?user=ann&password=p%40ss+w%2Ford",
        "jdbc:postgresql://host/engine?user=ann&password=p%40ss+w%2Ford",
      })
  void takesTheCredentialsOutOfTheAddress(String url) {
    Database database = Database.at(url);

    assertThat(database.user()).isEqualTo("ann");
    assertThat(database.password()).isEqualTo("p@ss+w/ord");
    assertThat(database.jdbcUrl()).isEqualTo("jdbc:postgresql://host/engine?logServerErrorDetail=false");
    assertThat(database.printable()).isEqualTo("postgresql://host/engine");
  }

  @Test
  void keepsAColonInThePassword() {
    assertThat(Database.at("postgres://ann:a:b@host/engine").password()).isEqualTo("a:b");
  }

  @Test
  void keepsTheDriverFromQuotingValuesWhateverTheAddressSays() {
    assertThat(Database.at("postgresql://host/engine?logServerErrorDetail=true").jdbcUrl())
        .isEqualTo("jdbc:postgresql://host/engine?logServerErrorDetail=false");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "postgresql://ann:secret/word@host/engine",
        "postgresql://ann:secret@host",
        "postgresql://ann:secret@host/",
        "postgresql://ann:secret@host:port/engine",
        "postgresql://ann:secret%zz@host/engine",
        "postgresql://ann:secret@/engine?host=/var/run/postgresql",
        "mysql://ann:secret@host/engine",
      })
  void refusesWhatItCannotReadWithoutRepeatingIt(String url) {
    assertThatThrownBy(() -> Database.at(url))
        .isInstanceOf(StartRefusedException.class)
        .hasMessageContaining("PROCOS_ENGINE_DB_URL")
        .hasMessageNotContaining("secret");
  }
}
