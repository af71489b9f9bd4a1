import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.ObjectInputFilter;
import java.io.ObjectInputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * An order of the shop was paid.
 *
 * @param orderNo the shop's own order number
 * @param eventKey says when two messages tell of the same payment
 */
record PaySuccess(Long orderNo, String eventKey) {
    /** What can never be understood. */
    static final class Poison extends Exception {
        private static final long serialVersionUID = 1;

        Poison(String message) {
            super(message);
        }
    }

    private static final ObjectMapper JSON =
            new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
    private static final Pattern SNAKE = Pattern.compile("_([a-z])");
    private static final ObjectInputFilter NUMBERS_ONLY = ObjectInputFilter.Config.createFilter(
            "java.lang.Long;java.lang.Integer;java.lang.Number;!*");

    /** Reads the body of a message; null if it tells of no order of this merchant. */
    static PaySuccess read(String contentType, byte[] body, String merchantId) throws Poison {
        String type = contentType == null ? "" : contentType.split(";", 2)[0].strip().toLowerCase(Locale.ROOT);
        try {
            if (type.equals("application/json") || type.endsWith("+json")) {
                return fromJson(JSON.readTree(body), merchantId);
            }
            if (type.equals("text/plain")) {
                return bare(new String(body, StandardCharsets.UTF_8).strip(), merchantId);
            }
            if (type.equals("application/x-java-serialized-object")) {
                return bare(String.valueOf(deserialized(body)), merchantId);
            }
        } catch (IOException | ClassNotFoundException | RuntimeException error) {
            throw new Poison(type + ": " + error.getMessage());
        }
        throw new Poison("content type: expected JSON or an order number, got " + type);
    }

    private static PaySuccess fromJson(JsonNode json, String merchantId) throws Poison {
        if (!json.isObject()) {
            return bare(scalar(json), merchantId);
        }
        // A field may have either name, and null is a field that is not set.
        Map<String, JsonNode> fields = new HashMap<>();
        json.fields().forEachRemaining(field -> {
            if (!field.getValue().isNull()) {
                fields.put(camelCase(field.getKey()), field.getValue());
            }
        });
        if (fields.size() == 1 && fields.containsKey("orderNo")) {
            return bare(scalar(fields.get("orderNo")), merchantId);
        }
        if (!isEnum(fields.get("type"), "PAY_EVENT_TYPE_SUCCESS", 1)) {
            throw new Poison("no success: " + fields.get("type"));
        }
        String owner = text(fields, "merchantId");
        String orderNo = text(fields, "orderNo");
        String payOrderNo = text(fields, "payOrderNo");
        if (!owner.equals(merchantId) || isEnum(fields.get("purpose"), "PURPOSE_RECHARGE", 3)) {
            return null;
        }
        return new PaySuccess(number(orderNo), key(owner, orderNo, payOrderNo));
    }

    /** An order number of an older publisher, which says no more. */
    private static PaySuccess bare(String orderNo, String merchantId) throws Poison {
        return new PaySuccess(number(orderNo), key(merchantId, orderNo, ""));
    }

    private static String key(String merchantId, String orderNo, String payOrderNo) {
        // For refunds the last part is the refunded amount.
        return merchantId + "/" + orderNo + "/" + payOrderNo + "/pay.success/0";
    }

    private static String camelCase(String name) {
        return SNAKE.matcher(name).replaceAll(match -> match.group(1).toUpperCase(Locale.ROOT));
    }

    private static boolean isEnum(JsonNode value, String name, int number) {
        return value != null && (value.isInt() ? value.intValue() == number : name.equals(value.textValue()));
    }

    private static String text(Map<String, JsonNode> fields, String name) throws Poison {
        JsonNode value = fields.get(name);
        if (value == null || !value.isTextual() || value.textValue().isEmpty()) {
            throw new Poison(name + ": expected a text");
        }
        return value.textValue();
    }

    private static String scalar(JsonNode value) throws Poison {
        if (!value.isTextual() && !value.isIntegralNumber()) {
            throw new Poison("JSON: expected an event or an order number");
        }
        return value.asText();
    }

    /** Written in one way only, so that no two order numbers become the same. */
    private static Long number(String orderNo) throws Poison {
        try {
            Long number = Long.valueOf(orderNo);
            if (number.toString().equals(orderNo)) {
                return number;
            }
        } catch (NumberFormatException error) {
            // Poison, as below.
        }
        throw new Poison("orderNo: expected a Long");
    }

    /** What Spring's converter makes of a Long by default. No other class is ever loaded. */
    private static Object deserialized(byte[] body) throws IOException, ClassNotFoundException {
        try (ObjectInputStream stream = new ObjectInputStream(new ByteArrayInputStream(body))) {
            stream.setObjectInputFilter(NUMBERS_ONLY);
            return stream.readObject();
        }
    }
}
