// A mien model on Android with onnxruntime. Untested: it was never compiled or run.
//
// In build.gradle: implementation("com.microsoft.onnxruntime:onnxruntime-android:1.22.0")
// The model is src/main/assets/model.onnx.

package org.example.mien

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import android.content.Context
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONObject

/** Reads the expression of face crops. */
class FaceModel(context: Context) : AutoCloseable {
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession =
        environment.createSession(context.assets.open("model.onnx").use { it.readBytes() }, OrtSession.SessionOptions())
    private val info = JSONObject(session.metadata.customMetadata.getValue("mien"))

    /** In the order of the probabilities. */
    val classes: List<String> = info.getJSONArray("classes").let { names -> List(names.length()) { names.getString(it) } }

    /** Side of the crop that [predict] takes, in pixels. */
    val inputSize: Int = info.getInt("input_size")

    /**
     * Return the probability of each class.
     *
     * @param cropRgb one face, [inputSize] x [inputSize] x 3 bytes, cropped by the contract in the metadata `crop`. Cut it with
     *     ../cpp/crop.hpp through the NDK: `android.graphics` scales differently, which costs accuracy.
     */
    fun predict(cropRgb: ByteArray): Map<String, Float> {
        require(cropRgb.size == inputSize * inputSize * 3) { "a crop has $inputSize x $inputSize x 3 bytes, got ${cropRgb.size}" }
        val bytes = ByteBuffer.allocateDirect(cropRgb.size).order(ByteOrder.nativeOrder()).put(cropRgb).apply { rewind() }
        val shape = longArrayOf(1, inputSize.toLong(), inputSize.toLong(), 3)
        OnnxTensor.createTensor(environment, bytes, shape, OnnxJavaType.UINT8).use { images ->
            session.run(mapOf("images" to images), setOf("expression")).use { results ->
                @Suppress("UNCHECKED_CAST")
                val probabilities = (results[0].value as Array<FloatArray>)[0]
                return classes.zip(probabilities.toList()).toMap()
            }
        }
    }

    override fun close() = session.close()
}
