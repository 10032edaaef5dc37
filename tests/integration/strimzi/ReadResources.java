import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import java.io.File;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Reads resources into Strimzi's own model, and tells what it does not know, a line each. Exit code 1 if there is any. */
public class ReadResources {
    static final String PACKAGE = "io.strimzi.api.kafka.model.";
    static final Map<String, String> MODELS = Map.of(
        "Kafka", PACKAGE + "kafka.Kafka", "KafkaNodePool", PACKAGE + "nodepool.KafkaNodePool",
        "KafkaTopic", PACKAGE + "topic.KafkaTopic", "KafkaUser", PACKAGE + "user.KafkaUser");
    static final List<String> faults = new ArrayList<>();
    static final Set<Object> seen = Collections.newSetFromMap(new IdentityHashMap<>());

    public static void main(String[] arguments) throws Exception {
        ObjectMapper mapper = new ObjectMapper(new YAMLFactory());
        // The model keeps unknown fields aside: they are looked for there, so that all are told and not only the first.
        mapper.configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false);
        int resources = 0;
        for (JsonNode document : mapper.readerFor(JsonNode.class).<JsonNode>readValues(new File(arguments[0])).readAll()) {
            String model = MODELS.get(document.path("kind").asText());
            if (model == null || !document.path("apiVersion").asText().equals("kafka.strimzi.io/v1")) {
                continue;
            }
            resources++;
            String name = document.path("kind").asText() + " " + document.path("metadata").path("name").asText();
            try {
                look(name, mapper.treeToValue(document, Class.forName(model)));
            } catch (com.fasterxml.jackson.core.JsonProcessingException error) {
                faults.add(name + ": " + error.getOriginalMessage());
            }
        }
        faults.forEach(System.out::println);
        System.out.println(resources + " resources read");
        System.exit(faults.isEmpty() ? 0 : 1);
    }

    static void look(String path, Object value) throws ReflectiveOperationException {
        if (value instanceof Collection<?> several) {
            for (Object one : several) {
                // A value that there is not, such as an unknown operation, is read as nothing.
                if (one == null) {
                    faults.add(path + ": unknown value");
                }
                look(path, one);
            }
            return;
        }
        if (value == null || value instanceof Enum || !value.getClass().getName().startsWith(PACKAGE) || !seen.add(value)) {
            return;
        }
        for (Method getter : value.getClass().getMethods()) {
            if (getter.getParameterCount() > 0 || !getter.getName().startsWith("get")) {
                continue;
            }
            Object found = getter.invoke(value);
            if (!getter.getName().equals("getAdditionalProperties")) {
                look(path + "." + getter.getName().substring(3), found);
            } else if (found instanceof Map<?, ?> unknown && !unknown.isEmpty()) {
                faults.add(path + ": unknown " + unknown.keySet());
            }
        }
    }
}
