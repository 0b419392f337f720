/* Loads a SavedModel as TensorFlow Serving does, without Python, and sends it images.
 *
 *   run_saved_model MODEL_DIR OUTPUT_DIR IMAGE_FILE...
 *
 * One request of all files goes to `serving_default`; each output becomes OUTPUT_DIR/<name>.raw and
 * a line "<name> <dtype> <dim> <dim> ..." of standard output. Then the warm-up requests of the
 * model are replayed, a line "replayed <signature>" each. A request that fails is a line
 * "failed: <message>", and the rest goes on.
 *
 * Exit code: 0, 3 where the request failed, 1 where anything else did.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

#define MAX_TENSORS 16

static void die(const char* what, const char* why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

/* ---- files ---- */

typedef struct {
  const uint8_t* data;
  size_t size;
} Bytes;

static Bytes read_file(const char* path) {
  FILE* file = fopen(path, "rb");
  if (!file) die(path, "cannot be opened");
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  uint8_t* data = malloc(size ? size : 1);
  if (fread(data, 1, size, file) != (size_t)size) die(path, "cannot be read");
  fclose(file);
  Bytes bytes = {data, size};
  return bytes;
}

static void write_file(const char* folder, const char* name, const void* data, size_t size) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s.raw", folder, name);
  FILE* file = fopen(path, "wb");
  if (!file || fwrite(data, 1, size, file) != size) die(path, "cannot be written");
  fclose(file);
}

/* ---- protocol buffers: just enough to walk through messages ---- */

typedef struct {
  int number;
  uint64_t integer; /* of a varint */
  Bytes bytes;      /* of a length-delimited field */
} Field;

static uint64_t read_varint(Bytes* rest) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (!rest->size) die("message", "truncated");
    uint8_t byte = *rest->data++;
    rest->size--;
    value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return value;
  }
  die("message", "has a number of more than 64 bits");
  return 0;
}

static int next_field(Bytes* rest, Field* field) {
  if (!rest->size) return 0;
  uint64_t tag = read_varint(rest);
  memset(field, 0, sizeof *field);
  field->number = (int)(tag >> 3);
  if ((tag & 7) == 0) {
    field->integer = read_varint(rest);
    return 1;
  }
  uint64_t size = (tag & 7) == 2 ? read_varint(rest) : (tag & 7) == 1 ? 8 : 4;
  if (size > rest->size) die("message", "truncated");
  field->bytes.data = rest->data;
  field->bytes.size = size;
  rest->data += size;
  rest->size -= size;
  return 1;
}

/* The last field `number` of a message; its bytes are NULL where there is none. */
static Field find(Bytes message, int number) {
  Field field, found = {0, 0, {NULL, 0}};
  while (next_field(&message, &field))
    if (field.number == number) found = field;
  return found;
}

static int equals(Bytes bytes, const char* text) {
  return bytes.size == strlen(text) && !memcmp(bytes.data, text, bytes.size);
}

/* The value of a key in field `number`, a map<string, message>. */
static Bytes look_up(Bytes message, int number, const char* key) {
  Field field;
  while (next_field(&message, &field))
    if (field.number == number && equals(find(field.bytes, 1).bytes, key))
      return find(field.bytes, 2).bytes;
  die(key, "is not in the map");
  return message;
}

/* ---- the model ---- */

typedef struct {
  TF_Graph* graph;
  TF_Session* session;
  Bytes meta_graph;
  TF_Status* status;
} Model;

static Model load(const char* folder) {
  Model model;
  const char* tags[] = {"serve"};
  TF_Buffer* meta_graph = TF_NewBuffer();
  TF_SessionOptions* options = TF_NewSessionOptions();
  model.status = TF_NewStatus();
  model.graph = TF_NewGraph();
  model.session = TF_LoadSessionFromSavedModel(options, NULL, folder, tags, 1, model.graph,
                                               meta_graph, model.status);
  if (TF_GetCode(model.status) != TF_OK) die(folder, TF_Message(model.status));
  model.meta_graph.data = meta_graph->data;
  model.meta_graph.size = meta_graph->length;
  TF_DeleteSessionOptions(options);
  return model;
}

/* "operation:index" of a TensorInfo, as an output of the graph. */
static TF_Output resolve(const Model* model, Bytes tensor_info) {
  char name[1024];
  Bytes full = find(tensor_info, 1).bytes;
  if (full.size >= sizeof name) die("tensor", "its name is too long");
  memcpy(name, full.data, full.size);
  name[full.size] = 0;
  char* colon = strrchr(name, ':');
  TF_Output output = {NULL, colon ? atoi(colon + 1) : 0};
  if (colon) *colon = 0;
  output.oper = TF_GraphOperationByName(model->graph, name);
  if (!output.oper) die(name, "is not an operation of the graph");
  return output;
}

/* Runs a signature with one input. Results go to `folder`; NULL = they are only computed. */
static int run(Model* model, const char* signature_name, const char* input_name, TF_Tensor* value,
               const char* folder) {
  Bytes signature = look_up(model->meta_graph, 5, signature_name);
  TF_Output input = resolve(model, look_up(signature, 1, input_name));
  TF_Output outputs[MAX_TENSORS];
  char names[MAX_TENSORS][64];
  TF_Tensor* results[MAX_TENSORS] = {NULL};
  int count = 0;
  Bytes rest = signature;
  Field field;
  while (next_field(&rest, &field)) {
    if (field.number != 2) continue;
    Bytes name = find(field.bytes, 1).bytes;
    if (count == MAX_TENSORS || name.size >= sizeof names[0]) die(signature_name, "too large");
    memcpy(names[count], name.data, name.size);
    names[count][name.size] = 0;
    outputs[count++] = resolve(model, find(field.bytes, 2).bytes);
  }
  TF_SessionRun(model->session, NULL, &input, &value, 1, outputs, results, count, NULL, 0, NULL,
                model->status);
  TF_DeleteTensor(value);
  if (TF_GetCode(model->status) != TF_OK) {
    printf("failed: %s\n", TF_Message(model->status));
    return 0;
  }
  for (int i = 0; i < count; i++) {
    if (folder) {
      printf("%s %d", names[i], TF_TensorType(results[i]));
      for (int axis = 0; axis < TF_NumDims(results[i]); axis++)
        printf(" %lld", (long long)TF_Dim(results[i], axis));
      printf("\n");
      write_file(folder, names[i], TF_TensorData(results[i]), TF_TensorByteSize(results[i]));
    }
    TF_DeleteTensor(results[i]);
  }
  return 1;
}

static TF_Tensor* strings(const Bytes* values, int64_t count) {
  TF_Tensor* tensor = TF_AllocateTensor(TF_STRING, &count, 1, count * sizeof(TF_TString));
  TF_TString* elements = TF_TensorData(tensor);
  for (int64_t i = 0; i < count; i++) {
    TF_StringInit(&elements[i]);
    TF_StringCopy(&elements[i], (const char*)values[i].data, values[i].size);
  }
  return tensor;
}

/* ---- warm-up requests: a TFRecord file of PredictionLog ---- */

static TF_Tensor* tensor_of_proto(Bytes proto) {
  int64_t dims[8], count = 0;
  int rank = 0;
  Bytes values[64];
  Bytes rest = find(proto, 2).bytes; /* tensor_shape */
  Field field;
  while (next_field(&rest, &field))
    if (field.number == 2 && rank < 8) dims[rank++] = (int64_t)find(field.bytes, 1).integer;
  Bytes content = find(proto, 4).bytes;
  TF_DataType type = (TF_DataType)find(proto, 1).integer;
  if (type == TF_STRING) {
    rest = proto;
    while (next_field(&rest, &field))
      if (field.number == 8 && count < 64) values[count++] = field.bytes;
    return strings(values, count);
  }
  TF_Tensor* tensor = TF_AllocateTensor(type, dims, rank, content.size);
  memcpy(TF_TensorData(tensor), content.data, content.size);
  return tensor;
}

static void replay(Model* model, Bytes records) {
  while (records.size) {
    if (records.size < 16) die("warm-up requests", "truncated");
    uint64_t size;
    memcpy(&size, records.data, 8); /* then 4 bytes of checksum, the record, 4 bytes of checksum */
    if (size > records.size - 16) die("warm-up requests", "truncated");
    Bytes log = {records.data + 12, size};
    Bytes request = find(find(log, 6).bytes, 1).bytes;
    Bytes name = find(find(request, 1).bytes, 3).bytes;
    Bytes input = find(request, 2).bytes;
    char signature[64], key[64];
    snprintf(signature, sizeof signature, "%.*s", (int)name.size, (const char*)name.data);
    Bytes key_bytes = find(input, 1).bytes;
    snprintf(key, sizeof key, "%.*s", (int)key_bytes.size, (const char*)key_bytes.data);
    if (!run(model, signature, key, tensor_of_proto(find(input, 2).bytes), NULL)) exit(1);
    printf("replayed %s\n", signature);
    records.data += 16 + size;
    records.size -= 16 + size;
  }
}

int main(int argc, char** argv) {
  if (argc < 4) die("usage", "run_saved_model MODEL_DIR OUTPUT_DIR IMAGE_FILE...");
  char path[4096];
  snprintf(path, sizeof path, "%s/assets.extra/tf_serving_warmup_requests", argv[1]);
  Model model = load(argv[1]);
  int count = argc - 3;
  Bytes* files = malloc(count * sizeof(Bytes));
  for (int i = 0; i < count; i++) files[i] = read_file(argv[3 + i]);
  printf("TensorFlow %s\n", TF_Version());
  int answered = run(&model, "serving_default", "image_bytes", strings(files, count), argv[2]);
  replay(&model, read_file(path));
  TF_CloseSession(model.session, model.status);
  TF_DeleteSession(model.session, model.status);
  return answered ? 0 : 3;
}
