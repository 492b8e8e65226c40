"""What stands at the end of each command's help: examples that can be typed as they are."""

EXAMPLES = {
    "": (
        "vggfcn demo",
        "vggfcn heatmap photo.jpg --weights efficientnet-lite0 --class dog",
        "vggfcn convert classifier.keras converted.keras",
    ),
    "demo": (
        "vggfcn demo",
        "vggfcn demo photo.jpg --weights efficientnet-lite0",
        "vggfcn demo photo.jpg --class 4 --output four.png",
    ),
    "heatmap": (
        "vggfcn heatmap scans/ 'more/*.jpg' --class 4 --output-stride 8 --contour 0.5",
        "vggfcn heatmap photo.jpg --weights efficientnet-lite0 --class dog --format tiff",
        "vggfcn heatmap slide.tif --max-memory 4GB --max-side 2000",
    ),
    "compare": (
        "vggfcn compare photo.jpg",
        "vggfcn compare photo.jpg --weights mnist-lenet5 --output-stride 2",
    ),
    "evaluate": (
        "vggfcn evaluate val --weights imagenet --results vgg16.jsonl",
        "vggfcn evaluate digits/list.txt --sizes 224,256,288 --json",
    ),
    "app": ("vggfcn app", "vggfcn app --port 8000"),
    "bench": (
        "vggfcn bench",
        "vggfcn bench --weights imagenet --size 1024 --json",
    ),
    "convert": (
        "vggfcn convert classifier.keras converted.keras",
        "vggfcn convert classifier.h5 converted.keras --keep-global --overwrite",
    ),
    "export": (
        "vggfcn export network.onnx",
        "vggfcn export network.tflite --weights efficientnet-lite0",
        "vggfcn export network --format saved_model --overwrite",
    ),
    "verify": (
        "vggfcn verify classifier.keras converted.keras",
        "vggfcn verify classifier.keras converted.keras --samples 5 --quiet",
    ),
    "weights": (
        "vggfcn weights list",
        "vggfcn weights inspect scene-digits",
    ),
    "weights list": ("vggfcn weights list", "vggfcn weights list --json"),
    "weights fetch": ("vggfcn weights fetch imagenet",),
    "weights inspect": ("vggfcn weights inspect scene-digits", "vggfcn weights inspect vgg16.pth --json"),
    "weights convert": ("vggfcn weights convert vgg16.pth vgg16.safetensors",),
}


def epilog(name: str) -> str:
    """The examples of a command, "" for the program itself, below a heading; lines stay as they are."""
    lines = EXAMPLES.get(name, ())
    # To click this character says that the paragraph is not to be filled.
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)]) if lines else ""
