package io.procos.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.mock.env.MockEnvironment;

class EngineSettingsTest {

  @Test
  void listensOnLoopbackAtTheUsualPortUnlessToldOtherwise() {
    EngineSettings settings = EngineSettings.from(new MockEnvironment());

    assertThat(settings.port()).isEqualTo(8080);
    assertThat(settings.address()).isEqualTo("127.0.0.1");
    assertThat(settings.needsAuthentication()).isFalse();
  }

  @Test
  void keepsItsStateInAFileOfTheDataFolderUnlessToldOtherwise() {
    EngineSettings settings = EngineSettings.from(with("data", "/srv/state"));

    assertThat(settings.database().jdbcUrl()).startsWith("jdbc:h2:file:" + Path.of("/srv/state/engine") + ";");
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "jdbc:h2:file:/srv/other", "jdbc:h2:file:/srv/other;MODE=PostgreSQL"})
  void makesH2WriteBeforeItAnswers(String url) {
    assertThat(EngineSettings.from(with("db.url", url)).database().jdbcUrl()).endsWith(";WRITE_DELAY=0");
  }

  @Test
  void leavesAWriteDelayThatIsAskedFor() {
    EngineSettings settings = EngineSettings.from(with("db.url", "jdbc:h2:file:/srv/other;WRITE_DELAY=100"));

    assertThat(settings.database().jdbcUrl()).isEqualTo("jdbc:h2:file:/srv/other;WRITE_DELAY=100");
  }

  @Test
  void prefersCredentialsThatAreSetApartFromTheAddress() {
    MockEnvironment environment = with("db.url", "postgresql://ann:old@host/engine").withProperty("procos.engine.db.password", "new");

    assertThat(EngineSettings.from(environment).database().password()).isEqualTo("new");
    assertThat(EngineSettings.from(environment).database().user()).isEqualTo("ann");
  }

  @ParameterizedTest
  @ValueSource(strings = {"0.0.0.0", "::", "192.0.2.1"})
  void refusesAnOpenEngineOnAnAddressOthersReach(String address) {
    EngineSettings settings = EngineSettings.from(with("address", address));

    assertThatThrownBy(() -> settings.checkReach(address))
        .isInstanceOf(StartRefusedException.class)
        .hasMessageContaining("PROCOS_ENGINE_USER and PROCOS_ENGINE_PASSWORD")
        .hasMessageNotContaining("\n");
  }

  @ParameterizedTest
  @ValueSource(strings = {"127.0.0.1", "127.0.0.2", "::1", "localhost"})
  void acceptsAnOpenEngineOnLoopback(String address) {
    assertThatCode(() -> EngineSettings.from(with("address", address)).checkReach(address)).doesNotThrowAnyException();
  }

  @Test
  void acceptsAnyAddressWithAUser() {
    EngineSettings settings = EngineSettings.from(with("user", "ann").withProperty("procos.engine.password", "secret"));

    assertThatCode(() -> settings.checkReach("0.0.0.0")).doesNotThrowAnyException();
  }

  @ParameterizedTest
  @ValueSource(strings = {"user", "password"})
  void refusesHalfOfTheCredentials(String name) {
    assertThatThrownBy(() -> EngineSettings.from(with(name, "half")))
        .isInstanceOf(StartRefusedException.class)
        .hasMessageContaining("set both, or neither");
  }

  @ParameterizedTest
  @ValueSource(strings = {"65536", "-1", "http", "123456"})
  void refusesWhatIsNoPort(String port) {
    assertThatThrownBy(() -> EngineSettings.from(with("port", port)))
        .isInstanceOf(StartRefusedException.class)
        .hasMessageContaining("PROCOS_ENGINE_PORT");
  }

  @ParameterizedTest
  @CsvSource({"'', true", "true, true", "false, false"})
  void takesVerdictsInListsUnlessToldOtherwise(String value, boolean expected) {
    assertThat(EngineSettings.from(with("bulk.verdicts", value)).bulkVerdicts()).isEqualTo(expected);
  }

  @ParameterizedTest
  @ValueSource(strings = {"no", "0", "False"})
  void refusesWhatIsNeitherTrueNorFalse(String value) {
    assertThatThrownBy(() -> EngineSettings.from(with("bulk.verdicts", value)))
        .isInstanceOf(StartRefusedException.class)
        .hasMessageContaining("PROCOS_ENGINE_BULK_VERDICTS");
  }

  @Test
  void refusesAUserThatBasicAuthenticationCannotCarry() {
    assertThatThrownBy(() -> EngineSettings.from(with("user", "a:b").withProperty("procos.engine.password", "secret")))
        .isInstanceOf(StartRefusedException.class)
        .hasMessageContaining("PROCOS_ENGINE_USER");
  }

  private static MockEnvironment with(String name, String value) {
    return new MockEnvironment().withProperty("procos.engine." + name, value);
  }
}
