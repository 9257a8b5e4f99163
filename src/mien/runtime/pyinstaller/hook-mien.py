"""What PyInstaller cannot see in mien's code: data files, modules that tables name as text, and OpenCV's cascade."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

# Training needs torch, which would be collected too.
_LEFT_OUT = ("mien.train", "mien.nets", "mien.export", "mien.experiments", "mien.recipe")

datas = collect_data_files("mien") + collect_data_files(
    "cv2", includes=["data/haarcascade_frontalface_alt2.xml"]
)
hiddenimports = collect_submodules(
    "mien", filter=lambda name: not name.startswith(_LEFT_OUT), on_error="ignore"
)
