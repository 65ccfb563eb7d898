"""Names of engines and dtypes, free of torch."""

ENGINES = ("auto", "torch", "compile", "onnxruntime", "openvino")
DTYPES = ("auto", "float32", "bfloat16", "int8")
ON_PROCESSORS = ("onnxruntime", "openvino")
